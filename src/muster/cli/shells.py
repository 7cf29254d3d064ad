"""The shells that completion speaks to. Loaded when a shell asks, and for `muster completion`.

bash splits words at `=`, `:` and `@` and replaces only what stands behind the last of them, so its script
hands over the line as typed and takes off what bash keeps. zsh and fish use click's own protocol.
"""

import os
import re

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_BASH = """\
# bash completion for muster. Written by: muster completion bash
%(complete_func)s() {
    local line=${COMP_LINE:0:COMP_POINT} type value
    local word=${line##*[[:space:]]}
    local kept=${word%%"${word##*[\\"\\'@><=;|&(:]}"}
    # Of the characters that end a word, @ is still part of what bash replaces.
    case $kept in *@) case $COMP_WORDBREAKS in *@*) kept=${kept%%@} ;; esac ;; esac
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            more) compopt -o nospace; COMPREPLY+=("${value#"$kept"}") ;;
            plain) COMPREPLY+=("${value#"$kept"}") ;;
        esac
    done < <(COMP_LINE=$line COMP_POINT=$COMP_POINT %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """By the line itself where bash tells it (`COMP_LINE`), else by words as click does it."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        if "COMP_LINE" not in os.environ:
            return super().get_completion_args()
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        typed = "" if re.search(r"\s$", line) or not words else words.pop()
        return words[1:], typed

    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{'more' if item.unfinished else item.type},{item.value}"


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": ZshComplete, "fish": FishComplete}


def register() -> None:
    """Let click answer shells by these."""
    for shell, handler in SHELLS.items():
        add_completion_class(handler, shell)
