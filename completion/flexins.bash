# SPDX-License-Identifier: Apache-2.0
# Completion of flexins(1) for bash.

_flexins_interfaces()
{
	local prefix= cur=$1 names
	# After a comma the names already given stay.
	case $cur in
	*,*)
		prefix=${cur%,*},
		cur=${cur##*,}
		;;
	esac
	names=$(ls /sys/class/net 2>/dev/null)
	COMPREPLY=($(compgen -P "$prefix" -W "$names" -- "$cur"))
}

_flexins()
{
	local cur prev words cword i
	_init_completion -n = 2>/dev/null || {
		cur=${COMP_WORDS[COMP_CWORD]}
		words=("${COMP_WORDS[@]}")
		cword=$COMP_CWORD
	}

	if ((cword == 1)); then
		COMPREPLY=($(compgen -W "run devices status capture fault cc set bench lab offload version --help --version" -- "$cur"))
		return
	fi

	# Behind `run` and its options everything belongs to the program.
	if [[ ${words[1]} == run ]]; then
		for ((i = 2; i < cword; i++)); do
			if [[ ${words[i]} == -- ]]; then
				_command_offset $((i + 1))
				return
			elif [[ ${words[i]} != -* ]]; then
				_command_offset $i
				return
			fi
		done
	fi

	case $cur in
	--iface=*)
		_flexins_interfaces "${cur#--iface=}"
		;;
	--figure=*) COMPREPLY=($(compgen -W "tx rx set pipe" -- "${cur#--figure=}")) ;;
	--tx=*)
		local tx="header-only dma-assisted rdma-assisted"
		[[ ${words[1]} == run ]] && tx="header-only dma-assisted copy"
		COMPREPLY=($(compgen -W "$tx" -- "${cur#--tx=}"))
		;;
	--rx=*)
		local rx="in-cache ring-discarded ring ring-no-stashing"
		[[ ${words[1]} == run ]] && rx="in-cache ring"
		COMPREPLY=($(compgen -W "$rx" -- "${cur#--rx=}"))
		;;
	--pipe=*) COMPREPLY=($(compgen -W "phase doorbell" -- "${cur#--pipe=}")) ;;
	--cc=*) COMPREPLY=($(compgen -W "static_window dcqcn timely swift hpcc bbr" -- "${cur#--cc=}") $(compgen -f -X '!*.[so]*' -- "${cur#--cc=}")) ;;
	--cc-rule=*) COMPREPLY=($(compgen -W "peer= iface=" -- "${cur#--cc-rule=}")) ;;
	--transport=*) COMPREPLY=($(compgen -W "irn gbn" -- "${cur#--transport=}")) ;;
	--json=*) COMPREPLY=($(compgen -f -- "${cur#--json=}")) ;;
	--svg=*) COMPREPLY=($(compgen -f -- "${cur#--svg=}")) ;;
	--port=*) ;;
	--placement=*) COMPREPLY=($(compgen -W "inline service" -- "${cur#--placement=}")) ;;
	--wire=*)
		COMPREPLY=($(compgen -W "auto udp shm" -- "${cur#--wire=}"))
		;;
	-*)
		case ${words[1]} in
		run) COMPREPLY=($(compgen -W "--iface= --port= --placement= --wire= --tx= --rx= --pipe= --cc= --cc-rule= --transport= --fault= --capture= --no-sysfs --verbose --help --" -- "$cur")) ;;
		fault) COMPREPLY=($(compgen -W "--pid= --qp= --count= --help" -- "$cur")) ;;
		capture) COMPREPLY=($(compgen -W "--pid= --help" -- "$cur")) ;;
		cc) COMPREPLY=($(compgen -W "--pid= --help" -- "$cur")) ;;
		set) COMPREPLY=($(compgen -W "--pid= --qp= --peer= --device= --cc= --help" -- "$cur")) ;;
		bench) COMPREPLY=($(compgen -W "--cc= --figure= --tx= --rx= --pipe= --param= --list-params --svg= --size= --burst= --cpus= --seconds= --no-icrc --json --help" -- "$cur")) ;;
		offload) COMPREPLY=($(compgen -W "--pid= --qp= --help" -- "$cur")) ;;
		lab) COMPREPLY=($(compgen -W "--cc= --transport= --seed= --time= --json --json= --svg= --list --help" -- "$cur")) ;;
		devices) COMPREPLY=($(compgen -W "--iface= --json --help" -- "$cur")) ;;
		status) COMPREPLY=($(compgen -W "--json --port= --help" -- "$cur")) ;;
		version) COMPREPLY=($(compgen -W "--help" -- "$cur")) ;;
		esac
		[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
		;;
	*)
		case ${words[1]} in
		bench) COMPREPLY=($(compgen -W "cc micro pipe smartnic" -- "$cur")) ;;
		offload) COMPREPLY=($(compgen -W "list load bind" -- "$cur") $(compgen -f -- "$cur")) ;;
		lab) COMPREPLY=($(compgen -W "incast dumbbell permutation websearch hadoop lossy long failing" -- "$cur")) ;;
		fault) COMPREPLY=($(compgen -W "set show clear inject" -- "$cur")) ;;
		cc) COMPREPLY=($(compgen -W "list load" -- "$cur") $(compgen -f -- "$cur")) ;;
		capture) COMPREPLY=($(compgen -W "start stop" -- "$cur") $(compgen -f -- "$cur")) ;;
		esac
		[[ ${words[1]} == run ]] && COMPREPLY=($(compgen -c -- "$cur"))
		;;
	esac
} && complete -F _flexins flexins
