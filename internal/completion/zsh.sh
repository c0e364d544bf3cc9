#compdef PROGRAM
# zsh completion of PROGRAM: a file _PROGRAM in a folder of $fpath.
_PROGRAM() {
    local -a answer candidates
    local kind prefix line word
    answer=("${(@f)$(command ${words[1]} complete zsh -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    kind=$answer[1] prefix=$answer[2]
    for line in "${(@)answer[3,-1]}"; do
        [[ -n $line ]] || continue
        word=${line%%$'\t'*}
        if [[ $line == *$'\t'* ]]; then
            candidates+=("${word//:/\\:}:${line#*$'\t'}")
        else
            candidates+=("${word//:/\\:}")
        fi
    done
    (( $#candidates )) && _describe PROGRAM candidates
    case $kind in
    files) [[ -z $prefix ]] || compset -P '*='; _files ;;
    dirs) [[ -z $prefix ]] || compset -P '*='; _files -/ ;;
    esac
}
if [[ $funcstack[1] == _PROGRAM ]]; then
    _PROGRAM "$@"
else
    compdef _PROGRAM PROGRAM
fi
