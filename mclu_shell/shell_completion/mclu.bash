# Completion of mclu in bash. 'mclu --install-completion bash' installs this file.

_mclu() {
  local program=mclu lines
  if [[ $1 == */* ]]; then program=${1/#\~\//$HOME/}; fi
  mapfile -t lines < <(
    "$program" --complete bash "$COMP_TYPE" "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null
  )
  if [[ ${lines[0]-} == nospace ]]; then compopt -o nospace; fi
  COMPREPLY=("${lines[@]:1}")
}

complete -o nosort -F _mclu mclu
