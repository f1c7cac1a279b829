#compdef mclu
# Completion of mclu in zsh. 'mclu --install-completion zsh' installs this file.

local program=mclu is_complete text display
local -a complete complete_displays partial partial_displays home
if [[ $words[1] == */* ]]; then program=${~words[1]}; fi
while IFS=$'\t' read -r is_complete text display; do
  if ((is_complete)); then
    complete+=("$text") complete_displays+=("$display")
  else
    partial+=("$text") partial_displays+=("$display")
  fi
done < <($program --complete zsh "${(@Q)words[2,CURRENT-1]}" "$IPREFIX${(Q)PREFIX}" 2>/dev/null </dev/null)

# With a quoted `~`, it would not be the home directory.
if [[ -z $QIPREFIX && $PREFIX == \~/* ]]; then
  home=(-P '~/') complete=("${(@)complete#\~/}") partial=("${(@)partial#\~/}")
fi
# -U: mclu has selected the candidates, which may differ from the word in case.
compadd -U $home -l -V mclu -d complete_displays -a complete
compadd -U $home -l -V mclu -S '' -d partial_displays -a partial
