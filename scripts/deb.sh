# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Debian packages: their versions, and where the kernel of CONFIG= is built. Sourced after lib.sh.

# deb_version: sets $commit, $commit_time and $packager (its author), $changed (not empty if the
# clone has changes that are not committed), and $deb_version: "git describe" if there is a tag v*,
# otherwise 0, which sorts before any tag, with the time and the hash of the commit.
deb_version()
{
	local tag

	commit=$(git -C "$REPO" rev-parse HEAD)
	commit_time=$(git -C "$REPO" log -1 --format=%ct)
	packager=$(git -C "$REPO" log -1 --format='%an <%ae>')
	changed=$(git -C "$REPO" status --porcelain | head -n 1)
	deb_version=0.$(date -u -d "@$commit_time" +%Y%m%d.%H%M).${commit:0:10}
	if tag=$(git -C "$REPO" describe --tags --match 'v[0-9]*' --abbrev=10 2>/dev/null); then
		deb_version=$(sed -E 's/^v//; s/-([0-9]+)-g([0-9a-f]+)$/+\1.\2/; s/-/~/g' <<<"$tag")
	fi
	deb_version+=${changed:+.changed}
}

# own_text: prints the configuration, which may be compressed as /proc/config.gz, or as in Debian's
# package linux-config.
own_text()
{
	gzip -cdf "$own" | xz -cdf | tr -d '\0'
}

# own_config: sets $own to the configuration that CONFIG= names, or to nothing, and $own_sum to what
# tells it from others in names; it is an error if it is no configuration that guestmemfs can have.
own_config()
{
	local text

	own='' own_sum=''
	[ -n "${CONFIG:-}" ] || return 0
	[ -f "$CONFIG" ] || die "CONFIG=$CONFIG is not there"
	[ -r "$CONFIG" ] || die "CONFIG=$CONFIG cannot be read"
	own=$(realpath -- "$CONFIG")
	text=$(own_text 2>/dev/null) || die "CONFIG=$CONFIG cannot be unpacked"
	grep -qE '^CONFIG_[A-Z0-9_]+=|^# CONFIG_[A-Z0-9_]+ is not set' <<<"$text" ||
		die "CONFIG=$CONFIG is not the configuration of a kernel"
	grep -qx 'CONFIG_X86_64=y' <<<"$text" ||
		die "CONFIG=$CONFIG is not the configuration of a kernel for x86-64"
	! grep -qx 'CONFIG_MODULE_SIG_FORCE=y' <<<"$text" ||
		die "CONFIG=$CONFIG has CONFIG_MODULE_SIG_FORCE=y," \
			"and the modules that are built here are not signed"
	own_sum=$(sha256sum <<<"$text" | cut -c1-6)
}

# deb_build: prints the directory in which the kernel of CONFIG= is built. To be called after
# own_config.
deb_build()
{
	printf '%s\n' "$BASE/build-deb${own_sum:+-$own_sum}"
}
