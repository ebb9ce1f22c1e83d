#!/bin/sh
# Tells driftd of a deployment, and waits for its verdict. POSIX sh, curl and openssl; nothing else.
#
#   deliver.sh started              the deploy begins: what changes now is its own
#   deliver.sh finished             it is through: waits for the verdict and shows it
#   deliver.sh failed               it broke off
#   deliver.sh verdict DEPLOYMENT   what was found at the end of a deployment, by the id that `finished` printed
#
# The pipelines' own words for how a job went are taken too: `success` is finished; `failure`, `cancelled` and
# `canceled` are failed.
#
#   DRIFTD_URL           https://HOST:PORT/webhook/gitops
#   DRIFTD_SECRET        the secret; or DRIFTD_SECRET_FILE, the file with it
#   DRIFTD_CA            driftd's certificate, PEM: the file, or the text itself; the system's roots without it
#   DRIFTD_COMMIT        what was delivered; by default what the pipeline says
#   DRIFTD_APP, DRIFTD_ENVIRONMENT, DRIFTD_REF, DRIFTD_REPO, DRIFTD_ID   of what, where, from where, in which run
#   DRIFTD_WAIT          seconds to wait for the verdict, 60 by default; 0: do not
#   DRIFTD_ON_DRIFT      `fail` (the default), or `warn` where neither a host that is not as it should be nor a driftd that
#                        does not answer is to fail the job; who is refused or not trusted always does
#   DRIFTD_SUMMARY       a file to which the verdict is added as Markdown, such as $GITHUB_STEP_SUMMARY
#
# Exit codes: 0 in sync or done, or only warned, 1 out of sync, 2 used wrongly, 3 not delivered or no verdict in time.
set -eu

die() {
    code=$1
    shift
    echo "driftd: $*" >&2
    exit "$code"
}

# Bytes on standard input as hex, and SHA-256 of them in hex.
hex() { od -An -v -tx1 | tr -d ' \n'; }
digest() { openssl dgst -sha256 -binary | hex; }

# Hex to bytes, each turned by the number $2 with exclusive or.
bytes() {
    rest=$1
    while [ -n "$rest" ]; do
        byte=$((0x${rest%"${rest#??}"} ^ $2))
        rest=${rest#??}
        # The byte in octal is the one spelling that every printf knows.
        printf "\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))"
    done
}

# HMAC-SHA256 of standard input in hex (RFC 2104). Built from digests, because `openssl dgst -hmac SECRET` shows the
# secret to everyone who can list processes; here it stays inside the shell.
hmac() {
    key=$(printf %s "$secret" | hex)
    [ ${#key} -le 128 ] || key=$(printf %s "$secret" | digest)
    while [ ${#key} -lt 128 ]; do key=${key}00; done
    inner=$({ bytes "$key" 54 && cat; } | digest)
    { bytes "$key" 92 && bytes "$inner" 0; } | digest
}

# A field of the body: its name and its text as JSON; nothing where there is no text.
field() {
    [ -n "$2" ] || return 0
    case $2 in
    *[[:cntrl:]]*) die 2 "the text for \`$1\` has a control character in it" ;;
    esac
    printf ',"%s":"%s"' "$1" "$(printf %s "$2" | sed 's/[\\"]/\\&/g')"
}

# Asks the server; the status of its answer is printed, 000 where there is none, and its body is in `answer`. That the
# server is not trusted is no answer either, and no second try makes it one.
ask() {
    : >"$tmp/answer"
    curl --silent --show-error --output "$tmp/answer" --write-out '%{http_code}' --connect-timeout 10 \
        --header "X-Hub-Signature-256: sha256=$signature" --header 'Accept: text/markdown' "$@" || {
        # CURLE_PEER_FAILED_VERIFICATION.
        [ $? != 60 ] || printf -- '-untrusted'
    }
}

show() {
    cat "$tmp/answer"
    # At the end of a file without a newline it would become part of what stands there.
    [ -z "${DRIFTD_SUMMARY:-}" ] || { echo && cat "$tmp/answer" && echo; } >>"$DRIFTD_SUMMARY"
}

# Ends where driftd does not answer, or not in time: with `warn` the deploy does not depend on who watches it.
silent() {
    [ "$on_drift" = warn ] || die 3 "$@"
    echo "driftd: $*; this is a warning only (DRIFTD_ON_DRIFT)" >&2
    exit 0
}

# Ends with what a verdict means for the pipeline.
judge() {
    show
    [ "$1" != 200 ] || exit 0
    if [ "$on_drift" = warn ]; then
        echo "driftd: the host is not as it was declared; this is a warning only (DRIFTD_ON_DRIFT)" >&2
        exit 0
    fi
    die 1 "the host is not as it was declared"
}

case ${1:-} in
started) phase=started ;;
finished | success) phase=finished ;;
failed | failure | cancelled | canceled) phase=failed ;;
verdict) phase='' ;;
*) die 2 "usage: $0 started|finished|failed, or $0 verdict DEPLOYMENT" ;;
esac

url=${DRIFTD_URL:-}
[ -n "$url" ] || die 2 'DRIFTD_URL is not set: https://HOST:PORT/webhook/gitops'
if [ -n "${DRIFTD_SECRET_FILE:-}" ]; then
    secret=$(cat "$DRIFTD_SECRET_FILE" 2>/dev/null) || die 2 'DRIFTD_SECRET_FILE cannot be read'
else
    secret=${DRIFTD_SECRET:-}
fi
[ -n "$secret" ] || die 2 'DRIFTD_SECRET is not set or empty: is the secret there for this branch and this pipeline?'
on_drift=${DRIFTD_ON_DRIFT:-fail}
case $on_drift in
fail | warn) ;;
*) die 2 "DRIFTD_ON_DRIFT is \`$on_drift\`, and \`fail\` or \`warn\` is wanted" ;;
esac
wait=${DRIFTD_WAIT:-60}
case $wait in
'' | *[!0-9]* | ???????*) die 2 "DRIFTD_WAIT is \`$wait\`, and a number of seconds is wanted" ;;
esac
# What begins with a zero would be octal.
while [ "${wait#0?}" != "$wait" ]; do wait=${wait#0}; done

untrusted="the certificate of $url is not trusted: is it, or who signed it, in DRIFTD_CA?"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 3' HUP INT TERM
case ${DRIFTD_CA:-} in
'') ;;
-----BEGIN*)
    printf '%s\n' "$DRIFTD_CA" >"$tmp/ca.pem"
    CURL_CA_BUNDLE=$tmp/ca.pem
    export CURL_CA_BUNDLE
    ;;
*)
    [ -r "$DRIFTD_CA" ] || die 2 "DRIFTD_CA names \`$DRIFTD_CA\`, which cannot be read"
    CURL_CA_BUNDLE=$DRIFTD_CA
    export CURL_CA_BUNDLE
    ;;
esac

if [ -z "$phase" ]; then
    [ -n "${2:-}" ] || die 2 "usage: $0 verdict DEPLOYMENT"
    # There is no body: it is the path that is signed.
    path=/api/v1/deployments/$2
    signature=$(printf %s "$path" | hmac)
    status=$(ask --max-time 30 "${url%/webhook/gitops*}$path")
    case $status in
    200 | 409) judge "$status" ;;
    202) show && silent 'no verdict yet' ;;
    *-untrusted) die 3 "$untrusted" ;;
    000 | 5??) silent "no verdict: $status $(cat "$tmp/answer")" ;;
    *) die 3 "no verdict: $status $(cat "$tmp/answer")" ;;
    esac
fi

# What the pipeline knows by itself: GitHub, GitLab, Woodpecker, Jenkins, CircleCI, Azure, Bitbucket.
commit=${DRIFTD_COMMIT:-${GITHUB_SHA:-${CI_COMMIT_SHA:-${GIT_COMMIT:-${CIRCLE_SHA1:-${BUILD_SOURCEVERSION:-${BITBUCKET_COMMIT:-}}}}}}}
[ -n "$commit" ] || die 2 'DRIFTD_COMMIT is not set, and the pipeline does not say which commit it delivers'
# A run that is started again has another name: what it delivers is news, and no retry of what failed.
run=${GITHUB_RUN_ID:+$GITHUB_RUN_ID-${GITHUB_RUN_ATTEMPT:-1}}
run=${run:-${BUILD_BUILDID:+$BUILD_BUILDID-${SYSTEM_STAGEATTEMPT:-1}-${SYSTEM_JOBATTEMPT:-1}}}
run=${run:-${BITBUCKET_BUILD_NUMBER:+$BITBUCKET_BUILD_NUMBER-${BITBUCKET_STEP_RUN_NUMBER:-1}}}
run=${DRIFTD_ID:-${run:-${CI_JOB_ID:-${CI_PIPELINE_NUMBER:-${BUILD_TAG:-${CIRCLE_WORKFLOW_ID:-}}}}}}
ref=${DRIFTD_REF:-${GITHUB_REF:-${CI_COMMIT_REF_NAME:-${GIT_BRANCH:-${CIRCLE_BRANCH:-${BUILD_SOURCEBRANCH:-${BITBUCKET_BRANCH:-}}}}}}}
repo=${DRIFTD_REPO:-${GITHUB_REPOSITORY:-${CI_PROJECT_PATH:-${CI_REPO:-${GIT_URL:-${BITBUCKET_REPO_FULL_NAME:-}}}}}}
# A run without a name of its own has one all the same: it tells a retry of this message from another message.
[ -n "$run" ] || run=$(openssl rand -hex 16)

{
    printf '{"phase":"%s","timestamp":"%s"' "$phase" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    field commit "$commit"
    field id "$run"
    field app "${DRIFTD_APP:-}"
    field environment "${DRIFTD_ENVIRONMENT:-}"
    field ref "$ref"
    field repo "$repo"
    printf '}'
} >"$tmp/body"
signature=$(hmac <"$tmp/body")

# One message, sent again until it is taken and, where one is wanted, the verdict is there: the same id and body is a
# retry, and answered with how things are by then. A wait is short enough for the proxies in between.
started=$(date +%s)
tries=0
[ "$phase" = finished ] || wait=0
while :; do
    left=$((started + wait - $(date +%s)))
    slice=$left
    [ "$slice" -le 25 ] || slice=25
    if [ "$slice" -gt 0 ]; then query="?wait=$slice"; else query=; slice=0; fi
    status=$(ask --max-time $((slice + 15)) --header 'Content-Type: application/json' \
        --data-binary "@$tmp/body" "$url$query")
    case $status in
    200 | 409) judge "$status" ;;
    202)
        # Only once the time is over is it sent without a wait: what comes after it is no news.
        if [ "$phase" = finished ] && [ "$wait" -gt 0 ]; then
            silent "no verdict in $wait s; the deployment is taken: $(cat "$tmp/answer")"
        fi
        show
        exit 0
        ;;
    504) ;;
    *-untrusted) die 3 "$untrusted" ;;
    000 | 408 | 429 | 500 | 502 | 503)
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || silent "not delivered: $status $(cat "$tmp/answer")"
        sleep $((tries * 2))
        ;;
    *) die 3 "refused: $status $(cat "$tmp/answer")" ;;
    esac
done
