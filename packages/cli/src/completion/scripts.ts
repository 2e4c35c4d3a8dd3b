/** What the shells load. They know nothing of our commands: each key press that needs it asks `skerry __complete`. */

/**
 * Readline takes words apart at `:` and `=` too (COMP_WORDBREAKS) and replaces only what is behind the last of them, so the
 * line is taken apart here, and that part is cut off the candidates.
 */
const BASH = script(String.raw`# skerry completion for bash
_skerry() {
  local line=@{COMP_LINE:0:COMP_POINT} words current broken candidate
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=@{words[@{#words[@]}-1]}
  broken=@{current%"@{current##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    candidate=@{candidate%%$'\t'*}
    if [[ $candidate == :files ]]; then
      compopt -o filenames
      while IFS= read -r candidate; do COMPREPLY+=("@{candidate#"$broken"}"); done < <(compgen -f -- "$current")
    else
      [[ $candidate == *[:=] ]] && compopt -o nospace
      COMPREPLY+=("@{candidate#"$broken"}")
    fi
  done < <("$1" __complete "@{words[@]:1}" 2>/dev/null </dev/null)
}
complete -F _skerry skerry
`);

const ZSH = script(String.raw`#compdef skerry
_skerry() {
  local line word
  local -a plain open shown_plain shown_open
  local files=
  while IFS= read -r line; do
    word=@{line%%$'\t'*}
    if [[ $line == :files ]]; then
      files=1
    elif [[ $word == *: ]]; then
      open+=("$word") shown_open+=("@{line/$'\t'/  -- }")
    else
      plain+=("$word") shown_plain+=("@{line/$'\t'/  -- }")
    fi
  done < <("@{words[1]}" __complete "@{(@)words[2,CURRENT]}" 2>/dev/null </dev/null)
  (( $#plain )) && compadd -l -d shown_plain -- $plain
  (( $#open )) && compadd -l -S '' -d shown_open -- $open
  [[ -n $files ]] && _files
  return 0
}
if [[ $funcstack[1] == _skerry ]]; then _skerry "$@"; else compdef _skerry skerry; fi
`);

const FISH = script(String.raw`# skerry completion for fish
function __skerry_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l program $words[1]
  set -e words[1]
  for line in ($program __complete $words "$current" 2>/dev/null </dev/null)
    if test "$line" = :files
      __fish_complete_path "$current"
    else
      echo $line
    end
  end
end
complete -c skerry -f -a '(__skerry_complete)'
`);

/** They have more of `${` than TypeScript would like: it is written `@{` above. */
function script(text: string): string {
  return text.replaceAll('@{', '${');
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const COMPLETION_SCRIPTS: Readonly<Record<(typeof SHELLS)[number], string>> = {
  bash: BASH,
  zsh: ZSH,
  fish: FISH,
};
