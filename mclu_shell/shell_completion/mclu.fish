# Completion of mclu in fish. 'mclu --install-completion fish' installs this file.

function __mclu_complete
    set -l words (commandline -opc)
    set -l program mclu
    string match -q '*/*' -- $words[1]; and set program $words[1]
    set -e words[1]
    set -l typed (commandline -ct)
    # unescape fails for a quotation that is still open.
    set -l word (string unescape -- "$typed"; or string replace -r '^[\'"]' '' -- "$typed")
    $program --complete fish $words "$word" 2>/dev/null </dev/null
end

complete -c mclu -f -k -a '(__mclu_complete)'
