# Sourced by run.sh and bin/coxswain with $root set. Each step is quick when there is nothing to do, says what it does
# when there is, and fails with the reason when it cannot.
NODE_VERSION=24.21.0
PNPM_VERSION=12.21.0
tools=$root/.tools

say() { printf '%s\n' "coxswain: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# quietly LABEL COMMAND...: shows the output of COMMAND only when it fails.
quietly() {
  label=$1
  shift
  mkdir -p "$tools"
  say "$label"
  if ! "$@" >"$tools/last-step.log" 2>&1; then
    cat "$tools/last-step.log" >&2
    die "this step failed: $label"
  fi
}

node_major() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

# Sets COXSWAIN_NODE to a Node >= 24: the one on PATH where it is new enough, else a pinned one from npm.
ensure_node() {
  if command -v node >/dev/null 2>&1 && [ "$(node_major node)" -ge 24 ]; then
    COXSWAIN_NODE=$(command -v node)
  else
    os=$(uname -s | tr '[:upper:]' '[:lower:]')
    case $(uname -m) in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
    package=node-$os-$arch
    COXSWAIN_NODE=$tools/node/node_modules/$package/bin/node
    if [ ! -x "$COXSWAIN_NODE" ] || [ "$("$COXSWAIN_NODE" --version 2>/dev/null)" != "v$NODE_VERSION" ]; then
      command -v npm >/dev/null 2>&1 || die "npm is missing: install Node >= 20 with npm first"
      mkdir -p "$tools/node"
      quietly "getting Node $NODE_VERSION ($package) from npm" \
        npm install --prefix "$tools/node" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund "$package@$NODE_VERSION"
      [ -x "$COXSWAIN_NODE" ] || die "npm has no Node $NODE_VERSION for $os-$arch: install Node >= 24 yourself"
    fi
  fi
  PATH=$(dirname "$COXSWAIN_NODE"):$PATH
  export PATH COXSWAIN_NODE
}

ensure_pnpm() {
  COXSWAIN_PNPM=$tools/pnpm/node_modules/.bin/pnpm
  if [ ! -x "$COXSWAIN_PNPM" ]; then
    mkdir -p "$tools/pnpm"
    quietly "getting pnpm $PNPM_VERSION from npm" \
      npm install --prefix "$tools/pnpm" --no-save --no-package-lock --no-audit --no-fund "pnpm@$PNPM_VERSION"
  fi
}

# Installs the packages of the workspace when the lock file is newer than the last install.
ensure_packages() {
  if [ -e "$root/node_modules/.modules.yaml" ] && [ "$tools/packages" -nt "$root/pnpm-lock.yaml" ]; then return; fi
  ensure_pnpm
  quietly "installing packages from npm" "$COXSWAIN_PNPM" --dir "$root" install --frozen-lockfile
  touch "$tools/packages"
}

# Bundles the services and the command line when a source file is newer than the last build.
ensure_build() {
  stamp=$root/dist/stamp
  if [ -e "$stamp" ] && [ -z "$(find "$root/libs" "$root/services" "$root/bin" "$root/protos" "$root/tools/build.ts" \
    -name node_modules -prune -o \( -name '*.ts' -o -name '*.json' \) -newer "$stamp" -print 2>/dev/null | head -n 1)" ]; then return; fi
  ensure_packages
  quietly "building" "$COXSWAIN_NODE" "$root/tools/build.ts"
}
