# Completion of parsecctl for fish. Load it with: parsecctl completion fish | source
function __parsecctl_complete
    set -l current (commandline -ct)
    for line in (printf '%s\0' (commandline -opc) $current | command parsecctl __complete 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (string replace -r -- '^--[^=]*=' '' $current)
            return
        end
        printf '%s\n' $line
    end
end
complete -c parsecctl -f -a '(__parsecctl_complete)'
