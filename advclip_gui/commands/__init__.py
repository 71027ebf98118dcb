"""The subcommands of `advclip-gui`, one module each; heavy modules are imported when a command runs."""
