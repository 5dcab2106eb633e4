-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt completion bash|zsh|fish`: a script for the shell. It asks vegttt itself (`--help` of all and of each verb and
-- experiment, `vegttt ls` for runs), so it knows what the binary that it is for knows.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local verb = require "vegttt.verb_common"

local completion = {}

-- Functions of a POSIX shell: what may stand after `vegttt`, the options of a verb or a file, and runs.
local asking = [==[
_vegttt_verbs() { "$1" --help 2>/dev/null | sed -n 's/^  vegttt \([a-z][a-z]*\).*/\1/p'; }
_vegttt_options() { "$1" "$2" --help 2>/dev/null | grep -oE -- '--[a-z][a-z0-9_-]*' | sort -u; }
_vegttt_runs() { echo latest; "$1" ls 2>/dev/null | sed -n 's/^[a-z][a-z]*  *\([^ ][^ ]*\)  *\([^ ][^ ]*\).*/\1\/\2/p'; }
_vegttt_topics() { "$1" help --help 2>/dev/null | sed -n 's/^vegttt help \([a-z][a-z-]*\) .*/\1/p'; }
]==]

local bash = asking .. [==[
_vegttt() {
    local program=${COMP_WORDS[0]} verb=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]} words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="$(_vegttt_verbs "$program") --help --version"
    else
        case $word in
        -*) words=$(_vegttt_options "$program" "$verb") ;;
        *) case $verb in
            show | plot | report | compare | export | rejudge | rm | ls | watch) words=$(_vegttt_runs "$program") ;;
            help) words=$(_vegttt_topics "$program") ;;
            new) words="experiment rule task" ;;
            completion) words="bash zsh fish" ;;
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    case $word in -*) ;; *) COMPREPLY+=($(compgen -f -X '!*.lua' -- "$word") $(compgen -d -S / -- "$word")) ;; esac
}
complete -o nospace -F _vegttt_spaced vegttt ./vegttt
# A word that is complete is followed by a blank, a folder is not.
_vegttt_spaced() {
    _vegttt
    local spaced=() word
    for word in "${COMPREPLY[@]}"; do
        case $word in */) spaced+=("$word") ;; *) spaced+=("$word ") ;; esac
    done
    COMPREPLY=("${spaced[@]}")
}
]==]

local zsh = "autoload -U +X bashcompinit && bashcompinit\n" .. bash

local fish = [==[
function __vegttt_verbs; vegttt --help 2>/dev/null | string replace -rf '^  vegttt ([a-z]+).*' '$1'; end
function __vegttt_options
    set -l words (commandline -opc)
    $words[1] $words[2] --help 2>/dev/null | string match -ra -- '--[a-z][a-z0-9_-]*' | sort -u
end
function __vegttt_runs
    echo latest
    vegttt ls 2>/dev/null | string replace -rf '^[a-z]+ +([^ ]+) +([^ ]+).*' '$1/$2'
end
function __vegttt_topics; vegttt help --help 2>/dev/null | string replace -rf '^vegttt help ([a-z][a-z-]*) .*' '$1'; end
complete -c vegttt -n __fish_use_subcommand -a '(__vegttt_verbs)'
complete -c vegttt -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -a '(__vegttt_options)'
complete -c vegttt -n '__fish_seen_subcommand_from show plot report compare export rejudge rm ls watch' -a '(__vegttt_runs)'
complete -c vegttt -n '__fish_seen_subcommand_from help' -a '(__vegttt_topics)'
complete -c vegttt -n '__fish_seen_subcommand_from new' -a 'experiment rule task'
complete -c vegttt -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'
]==]

local shells = { bash = bash, zsh = zsh, fish = fish }

local function run(_, words)
  local script = shells[words[1] or ""]
  if not script then
    errors.usage("completion is for %s%s", table.concat(errors.keys(shells), ", "), words[1] and ", not for " .. words[1] or "; name one")
  end
  core.out(script)
  return 0
end

function completion.main(argv)
  return verb.main(argv, { run = run, max_words = 1, help = [[
vegttt completion bash     eval "$(vegttt completion bash)" in ~/.bashrc
vegttt completion zsh      the same in ~/.zshrc
vegttt completion fish     vegttt completion fish | source]] })
end

return completion
