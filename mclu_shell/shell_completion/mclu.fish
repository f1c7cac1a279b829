# What fish asks of mclu where Tab is pressed behind it. 'mclu --install-completion fish' puts this file into its place.

function __mclu_complete
    set -l words (commandline -opc)
    set -l program mclu
    string match -q '*/*' -- $words[1]; and set program $words[1]
    set -e words[1]
    set -l typed (commandline -ct)
    # A quotation that is still open cannot be read as one.
    set -l word (string unescape -- "$typed"; or string replace -r '^[\'"]' '' -- "$typed")
    $program --complete fish $words "$word" 2>/dev/null </dev/null
end

complete -c mclu -f -k -a '(__mclu_complete)'
