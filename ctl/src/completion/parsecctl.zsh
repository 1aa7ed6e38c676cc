#compdef parsecctl
# Completion of parsecctl for zsh. Save it as _parsecctl in a folder of $fpath, or load it with:
# source <(parsecctl completion zsh)
_parsecctl() {
    local line value
    local -a typed values lines
    typed=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ $value == :files ]]; then
            [[ $PREFIX == --*=* ]] && compset -P '*='
            _files
            return
        fi
        values+=("$value")
        lines+=("$value  ${line#*$'\t'}")
    done < <(printf '%s\0' "${typed[@]}" | command parsecctl __complete 2>/dev/null)
    ((${#values})) && compadd -l -d lines -a values
}
if [[ ${funcstack[1]} == _parsecctl ]]; then
    _parsecctl "$@"
else
    compdef _parsecctl parsecctl
fi
