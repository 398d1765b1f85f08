#!/usr/bin/env bash
# packages.sh ARCH FOLDER PACKAGE...: unpack Debian packages of another architecture into FOLDER, without root and without
# telling the machine's own dpkg about that architecture.
#
# A private apt root under $PARKLAMP_CACHE (default ~/.cache/parklamp) holds lists and packages; its sources are this machine's
# own Debian sources (or DEBIAN_MIRROR and DEBIAN_SUITE), with the component of the firmware added. What is there is used as it
# is, so that two builds agree and a build works offline; REFRESH=1 asks for newer versions. A package that has no content of
# its own (linux-image-armmp) stands for the kernel image that it depends on. Prints "name version" for each package used.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: packages.sh ARCH FOLDER PACKAGE..." >&2; exit 2; }
arch=$1 folder=$2
shift 2
# shellcheck source=/dev/null
suite=${DEBIAN_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}
cache=${PARKLAMP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parklamp}/debian-$suite-$arch
mkdir -p "$cache"/{state/lists/partial,archives/partial}
exec 9>"$cache/lock"
flock 9

# One line a repository: address, release.
repositories() {
	if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR $suite"; return; fi
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sed -n 's/^Debian //p' | sort -u
}
repositories | while read -r address release; do
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $address $release main non-free-firmware"
done >"$cache/sources.list"
[ -s "$cache/sources.list" ] || {
	echo "no Debian package source is known here: run apt-get update, or name one with DEBIAN_MIRROR=address DEBIAN_SUITE=bookworm" >&2; exit 1; }

: >"$cache/status"
options=(-o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o "Dir::Etc::sourcelist=$cache/sources.list" -o Dir::Etc::sourceparts=-
	-o "Dir::State=$cache/state" -o "Dir::State::status=$cache/status" -o "Dir::Cache=$cache" -o "Dir::Cache::archives=$cache/archives"
	-o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=2)
refresh() {
	echo "reading Debian's package lists for $arch" >&2
	apt-get "${options[@]}" update -qq >"$cache/update.log" 2>&1 && return
	# One of several repositories may be in the middle of a change; without any there is nothing to choose from.
	grep -E '^(E|W): Failed' "$cache/update.log" >&2 || true
	[ -n "$(find "$cache/state/lists" -maxdepth 1 -name '*_Packages*' -print -quit)" ] || {
		echo "Debian's package lists cannot be read: is this machine online?" >&2; exit 1; }
	echo "going on with the lists that could be read" >&2
}
if [ -n "${REFRESH:-}" ] || [ ! -s "$cache/state/done" ]; then refresh && date -u +%F >"$cache/state/done"; fi

field() { apt-cache "${options[@]}" show --no-all-versions "$1" 2>/dev/null | sed -n "s/^$2: //p" | head -1; }
mkdir -p "$folder"
for package in "$@"; do
	case $package in
	linux-image-*)
		real=$(field "$package" Depends | grep -oE 'linux-image-[0-9][^ ,]*' | head -1 || true)
		package=${real:-$package} ;;
	esac
	name=$(basename "$(field "$package" Filename)")
	[ -n "$name" ] || { echo "Debian has no package $package for $arch in $suite: check its name, or ask anew with REFRESH=1" >&2; exit 1; }
	if [ ! -s "$cache/archives/$name" ]; then
		echo "fetching $name" >&2
		(cd "$cache/archives/partial" && apt-get "${options[@]}" download -qq "$package" >&2) || {
			echo "package $package cannot be fetched: is this machine online? If it is, ask for newer lists with REFRESH=1" >&2; exit 1; }
		mv "$cache/archives/partial/"*.deb "$cache/archives/$name"
	fi
	dpkg-deb -x "$cache/archives/$name" "$folder"
	echo "$package $(dpkg-deb -f "$cache/archives/$name" Version)"
done
