# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of guestmemctl for bash.

_guestmemctl_pools()
{
	local pool

	for pool in "${GUESTMEMCTL_ROOT:-}"/sys/fs/guestmemfs/node*; do
		[ ! -d "$pool" ] || printf '%s\n' "${pool##*/}"
	done
}

# _guestmemctl_names DIR SUFFIX: the names of guests.
_guestmemctl_names()
{
	local file

	for file in "${GUESTMEMCTL_ROOT:-}$1"/*"$2"; do
		[ ! -e "$file" ] || basename "$file" "$2"
	done
}

_guestmemctl_options()
{
	case $1 in
	list) echo "--json --all --help" ;;
	map) echo "--svg --json --tables --width --color --help" ;;
	check-kernel) echo "--json --help" ;;
	live-update) echo "--kernel --initrd --command-line --append --guests --dry-run --json --help" ;;
	save) echo "--guests --if-kexec --help" ;;
	resume) echo "--prepare --forget --help" ;;
	report) echo "--json --svg --help" ;;
	esac
}

_guestmemctl_words()
{
	case $1 in
	list | map) _guestmemctl_pools ;;
	save) _guestmemctl_names /etc/guestmemfs/guests.d .conf ;;
	resume) _guestmemctl_names /var/lib/guestmemfs/saved .json ;;
	esac
}

_guestmemctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]}

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "list map check-kernel live-update save resume \
			report --help --version" -- "$word")
		return
	fi
	case $before in
	--kernel | --initrd | --svg | --tables)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--guests)
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
		;;
	--color)
		mapfile -t COMPREPLY < <(compgen -W "always never auto" -- "$word")
		return
		;;
	--width | --append | --command-line) return ;;
	esac
	if [ "${word#-}" != "$word" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_guestmemctl_options "$command")" -- "$word")
	elif [ "$command" = check-kernel ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -W "$(_guestmemctl_words "$command")" -- "$word")
	fi
}
complete -F _guestmemctl guestmemctl
