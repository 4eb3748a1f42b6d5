# What the project's scripts share: finding the toolchain, making virtualenvs. To be sourced; POSIX sh.

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Prints the path of the Python to build against: PYTHON or the python3 on PATH; not a shim, not a virtualenv's.
find_python() {
    command -v "${PYTHON:-python3}" >/dev/null 2>&1 ||
        fail "no ${PYTHON:-python3} found: install Python 3.9 or newer (Debian: python3-dev python3-venv), or name one with PYTHON=…"
    "${PYTHON:-python3}" - <<'PY' || exit 1
import os, sys, sysconfig
program = getattr(sys, "_base_executable", sys.executable)
if sys.version_info < (3, 9):
    sys.exit("%s is Python %d.%d: uwrs needs 3.9 or newer, name one with PYTHON=..." % (program, *sys.version_info[:2]))
library = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or "")
if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not os.path.exists(library):
    sys.exit("%s has no shared library to link with: install it (Debian: python3-dev; pyenv: "
             "PYTHON_CONFIGURE_OPTS=--enable-shared), or name another Python with PYTHON=..." % program)
print(program)
PY
}

need_cargo() {
    command -v cargo >/dev/null 2>&1 || fail "no cargo found: install Rust (rustup, the current stable toolchain)"
    command -v cc >/dev/null 2>&1 || fail "no C linker (cc) found: install one (Debian: gcc libc6-dev)"
}

# Makes the virtualenv $1 with the Python $2, unless it is there and of that Python. With pip inside.
make_venv() {
    if [ -x "$1/bin/python" ] && [ "$(version_of "$1/bin/python")" = "$(version_of "$2")" ]; then
        return
    fi
    rm -rf "$1"
    "$2" -m venv "$1" || fail "$2 cannot make a virtualenv (Debian: install python3-venv)"
}

version_of() {
    "$1" -c 'import sys; print(sys.version_info[:3], getattr(sys, "base_prefix", ""))' 2>/dev/null
}

# Installs into the virtualenv $1 with the words behind it, where they changed since the last time.
pip_install() {
    venv=$1
    shift
    stamp="$venv/.installed"
    wanted=$(for word in "$@"; do if [ -f "$word" ]; then cat "$word"; else echo "$word"; fi; done)
    if [ -f "$stamp" ] && [ "$wanted" = "$(cat "$stamp")" ]; then
        return
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" || fail "pip install $* failed"
    printf '%s\n' "$wanted" >"$stamp"
}
