# Completion of parsecctl for bash. Load it with: source <(parsecctl completion bash)
_parsecctl() {
    local rest=${COMP_LINE:0:COMP_POINT} current cut="" word value about
    local -a words=()
    local -i i together
    COMPREPLY=()
    # Bash cuts at @, = and :, so what stands together on the line is put together again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        together=$((i > 0))
        [[ $rest == [[:space:]]* ]] && together=0
        rest=${rest#"${rest%%[![:space:]]*}"}
        # Of the last word, only what stands before the cursor.
        ((i == COMP_CWORD)) && word=$rest
        if ((together)); then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        rest=${rest#"$word"}
    done
    current=${words[${#words[@]} - 1]}
    # Bash replaces what stands behind the last cut only; an @ belongs to what it begins.
    for ((i = ${#current}; i > 0; i--)); do
        if [[ $COMP_WORDBREAKS == *"${current:i-1:1}"* ]]; then
            cut=${current:0:i}
            [[ ${current:i-1:1} == @ ]] && cut=${current:0:i-1}
            break
        fi
    done
    while IFS=$'\t' read -r value about; do
        if [[ $value == :files ]]; then
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "${current#"$cut"}")
            return
        fi
        COMPREPLY+=("${value#"$cut"}")
    done < <(printf '%s\0' "${words[@]}" | command parsecctl __complete 2>/dev/null)
}
complete -F _parsecctl parsecctl
