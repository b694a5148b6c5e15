"""`mindscript-worker completion`: what makes a shell complete commands, options and files."""

from __future__ import annotations

PROGRAM = "mindscript-worker"
_SET_UP = {
    "bash": f'put this line into ~/.bashrc: eval "$({PROGRAM} completion bash)"',
    "zsh": f'put this line into ~/.zshrc, after compinit: eval "$({PROGRAM} completion zsh)"',
    "fish": f"run this once: {PROGRAM} completion fish > ~/.config/fish/completions/{PROGRAM}.fish",
}


def completion(shell: str) -> int:
    """Print the code for a shell; its last line, which a terminal still shows, says where to put it."""
    from argcomplete.shell_integration import shellcode

    print(f"{shellcode([PROGRAM], shell=shell).strip()}\n# To use it, {_SET_UP[shell]}")
    return 0
