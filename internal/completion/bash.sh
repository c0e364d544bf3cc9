# bash completion of PROGRAM. Read it with: source <(PROGRAM completion bash)
_PROGRAM() {
    local line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} answer kind prefix word cut
    mapfile -t answer < <(command "${COMP_WORDS[0]}" complete bash -- "$line" 2>/dev/null)
    kind=${answer[0]} prefix=${answer[1]} COMPREPLY=()
    # bash splits words at = and : too, and replaces what is behind the last of them.
    word=${line##*[[:space:]]} cut=
    case $COMP_WORDBREAKS in *:*) [[ $word == *:* ]] && cut=${word%:*}: ;; esac
    case $COMP_WORDBREAKS in *=*) [[ ${word#"$cut"} == *=* ]] && cut=${word%=*}= ;; esac
    for word in "${answer[@]:2}"; do
        word=${word%%$'\t'*}
        word=${word#"$cut"}
        [[ -z $word ]] || COMPREPLY+=("$(printf %q "$word")")
    done
    [[ $cur == [=:] ]] && cur=
    case $kind in
    files) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur") ;;
    dirs) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$cur") ;;
    esac
    # What is not finished, such as "--flag=" and "STORAGE:", gets no blank.
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]]; then compopt -o nospace; fi
}
complete -F _PROGRAM PROGRAM
