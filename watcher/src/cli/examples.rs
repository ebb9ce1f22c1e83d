//! What `--help` of each command shows beneath its arguments: examples, and what its exit code means where that is not
//! told by the command's name.

pub(super) const RUN: &str = "Examples:
  driftd run                                    /etc/driftd/driftd.yaml; without one the host's own sysctl.d is judged
  driftd run --config driftd.yaml --output json | jq .
  driftd run --revert                           rules with `remedy: revert` are carried out";

pub(super) const CHECK: &str = "Examples:
  driftd check                                  what /etc/driftd/driftd.yaml declares
  driftd check --declared                       what the host's own sysctl.d declares, without a configuration
  driftd check --declared base.conf hosts/db.yaml
  driftd check --declared throughput-performance --source tuned
  driftd check --declared --root /mnt/image     another host's tree

Exit codes: 0 all that is declared is in force, 1 something is not, 2 a mistake in the arguments or a file, 3 something cannot
be read.";

pub(super) const EXPLAIN: &str = "Examples:
  driftd explain vm.swappiness
  driftd explain /sys/class/net/eth0/mtu --format json

Exit codes: 0 it is as declared, or nothing declares it, 1 it is not, 2 a mistake in the arguments or a file, 3 something cannot
be read.";

pub(super) const REVERT: &str = "Examples:
  driftd revert vm.swappiness --dry-run         what would be written
  driftd revert vm.swappiness                   wants a daemon that was started by `driftd run --revert`";

pub(super) const ADOPT: &str = "Examples:
  driftd adopt vm.swappiness                    the change to the file that declares it; nothing is written
  driftd adopt vm.swappiness | patch -p1 -d /   where a file of this host declares it
  driftd adopt vm.swappiness | git apply        in a checkout, where a file of a repository does
  driftd adopt vm.swappiness --accept           the live value is expected until the next deployment";

pub(super) const CONFIG_CHECK: &str = "Examples:
  driftd config check
  driftd config check --config driftd.yaml      one that is not in its place yet

Exit codes: 0 no mistakes, 2 mistakes, 3 a source cannot be read.";

pub(super) const DOCTOR: &str = "Examples:
  driftd doctor
  driftd doctor --config driftd.yaml            with the probes that it forces
  driftd doctor --format json | jq .reasons

Exit codes: 0 done, 2 a mistake in the configuration, 3 the probes that it forces cannot be had, or see nothing.";

pub(super) const STATUS: &str = "Examples:
  driftd status
  driftd status --format json | jq .findings

Exit codes: 0 all that is declared is in force, 1 something is not, 2 the configuration cannot be read, 3 no daemon answers.";

pub(super) const EVENTS: &str = "Examples:
  driftd events -f                              what happens from now on, after the last 100
  driftd events --since 2h --kind finding       what opened and healed in the last two hours
  driftd events --commit c39218 --format json   all that happened under a commit, one JSON object a line";

pub(super) const INIT: &str = "Examples:
  driftd init                                   for a step in any pipeline
  driftd init --sender github --host db1.example.org
  driftd init --config driftd.yaml --state state --listen 127.0.0.1:8443";

pub(super) const HISTORY: &str = "Examples:
  driftd history vm.swappiness
  driftd history /sys/class/net/eth0/mtu -n 10 --format json";

pub(super) const DEPLOYMENTS: &str = "Examples:
  driftd deployments                            the last twenty
  driftd deployments c39218                     one, by its commit: the verdict, every declared key as it was then";

pub(super) const ALERTS_RETRY: &str = "Examples:
  driftd alerts retry                           to every sink
  driftd alerts retry chat                      to the one that the configuration calls `chat`";

pub(super) const EXPORT: &str = "Examples:
  driftd audit export > driftd.jsonl
  driftd audit export --since 2026-08-01 --until 2026-09-01 | gzip > 2026-08.jsonl.gz";

pub(super) const COMPLETIONS: &str = "Examples:
  driftd completions bash > /usr/share/bash-completion/completions/driftd
  driftd completions zsh > /usr/share/zsh/vendor-completions/_driftd";

pub(super) const SIGN: &str = "Examples:
  driftd sign --secret /etc/driftd/plain.secret < body.json
  curl -H \"$(driftd sign --secret FILE < body.json)\" --data-binary @body.json https://db1:8443/webhook/gitops";

pub(super) const HUB: &str = "Examples:
  driftd hub --config /etc/driftd/hub.yaml
  curl -H \"$(driftd sign --secret FILE < status.json)\" --data-binary @status.json https://hub:8444/api/status
  curl http://127.0.0.1:9758/status.json";

pub(super) const WEBHOOK_TEST: &str = "Examples:
  driftd webhook test --body body.json --header \"X-Hub-Signature-256: sha256=00\"
  driftd webhook test --body push.json --sender github --header \"X-GitHub-Event: push\"";
