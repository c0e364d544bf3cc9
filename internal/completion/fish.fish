# fish completion of PROGRAM: a file PROGRAM.fish in a folder of $fish_complete_path.
function __PROGRAM_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l answer (command $before[1] complete fish -- $before[2..] "$current" 2>/dev/null)
    set -l prefix $answer[2]
    for line in $answer[3..]
        echo $line
    end
    set -l part (string sub -s (math (string length -- "$prefix") + 1) -- "$current")
    switch "$answer[1]"
        case files
            for f in (__fish_complete_path "$part")
                echo "$prefix$f"
            end
        case dirs
            for f in (__fish_complete_directories "$part")
                echo "$prefix$f"
            end
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
