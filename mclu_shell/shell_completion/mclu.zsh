#compdef mclu
# What zsh asks of mclu where Tab is pressed behind it. 'mclu --install-completion zsh' puts this file into its place.

local program=mclu is_whole text shown
local -a whole whole_shown begun begun_shown home
if [[ $words[1] == */* ]]; then program=${~words[1]}; fi
while IFS=$'\t' read -r is_whole text shown; do
  if ((is_whole)); then
    whole+=("$text") whole_shown+=("$shown")
  else
    begun+=("$text") begun_shown+=("$shown")
  fi
done < <($program --complete zsh "${(@Q)words[2,CURRENT-1]}" "$IPREFIX${(Q)PREFIX}" 2>/dev/null </dev/null)

# Quoted, it would not be the home directory.
if [[ -z $QIPREFIX && $PREFIX == \~/* ]]; then
  home=(-P '~/') whole=("${(@)whole#\~/}") begun=("${(@)begun#\~/}")
fi
# They were chosen for what is typed, which may be in another case.
compadd -U $home -l -V mclu -d whole_shown -a whole
compadd -U $home -l -V mclu -S '' -d begun_shown -a begun
