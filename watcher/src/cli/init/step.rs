//! The step that is left to do at the sender's, ready to be pasted. The secret is in it as the file it is in, and becomes no
//! argument of a program: those are shown to whoever lists processes.

use std::{fmt, path::Path};

use super::Sender;
use crate::config::{Credential, Proof};

/// All that a step needs to know.
pub struct Step<'a> {
    /// Who sends.
    pub sender: Sender,
    /// Where to.
    pub url: &'a str,
    /// What proves that it is they.
    pub credential: &'a Credential,
    /// The file with it.
    pub secret: &'a Path,
    /// The certificate that is served; none over plain HTTP.
    pub certificate: Option<&'a Path>,
    /// Whether driftd made it for itself.
    pub is_our_own: bool,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, secret) = (self.url, self.secret.display());
        match self.sender {
            Sender::Plain => self.plain(f),
            Sender::Github => {
                writeln!(f, "At GitHub, with its own `gh`, for a repository whose deployments come here:\n")?;
                // With the end of its line it would be another secret: `gh` takes a file as it is.
                writeln!(f, "  tr -d '\\n' < {secret} |")?;
                writeln!(
                    f,
                    "    gh api repos/OWNER/REPO/hooks -f name=web -f 'events[]=deployment_status' \\"
                )?;
                writeln!(
                    f,
                    "    -f 'config[url]={url}' -f 'config[content_type]=json' -F 'config[secret]=@-'"
                )?;
                self.trust(
                    f,
                    "GitHub",
                    "let the pipeline deliver itself (docs/integrations/github-action, `ca:`)",
                )
            }
            Sender::Gitlab => {
                let field = match self.credential.proof {
                    Proof::Secrets => "signing_token",
                    Proof::Tokens | Proof::Basic => "token",
                };
                writeln!(f, "At GitLab, for a project whose deployments come here:\n")?;
                // Two secrets, and one standard input: as curl's own configuration.
                writeln!(
                    f,
                    "  printf 'header=\"PRIVATE-TOKEN: %s\"\\ndata-urlencode=\"{field}=%s\"\\n' \"$GITLAB_TOKEN\" \"$(cat {secret})\" |"
                )?;
                writeln!(f, "    curl -f -K - https://GITLAB/api/v4/projects/ID/hooks \\")?;
                writeln!(f, "    -d 'url={url}' -d deployment_events=true -d push_events=false")?;
                if field == "token" {
                    writeln!(
                        f,
                        "\nA GitLab that knows signing tokens proves more with one: `secrets:` in the place of `tokens:`, with a file\n\
                         that holds `whsec_` and the base64 of 32 random bytes."
                    )?;
                }
                self.trust(f, "GitLab", "let the pipeline deliver itself (docs/integrations/gitlab)")
            }
            Sender::Argocd if self.credential.proof == Proof::Basic => {
                writeln!(
                    f,
                    "At Argo CD: docs/integrations/argocd/notifications.yaml, with this address, and in place of the"
                )?;
                writeln!(
                    f,
                    "header `basicAuth:` with what is in `{secret}`, the user before the first colon."
                )?;
                self.trust(f, "Argo CD", "add it to argocd-tls-certs-cm under this host's name")
            }
            Sender::Argocd => {
                writeln!(
                    f,
                    "At Argo CD: docs/integrations/argocd/notifications.yaml, with this address, and\n"
                )?;
                writeln!(
                    f,
                    "  printf '{{\"stringData\":{{\"driftd-token\":\"%s\"}}}}' \"$(cat {secret})\" |"
                )?;
                writeln!(
                    f,
                    "    kubectl -n argocd patch secret argocd-notifications-secret --type merge --patch-file /dev/stdin"
                )?;
                self.trust(f, "Argo CD", "add it to argocd-tls-certs-cm under this host's name")
            }
            Sender::Flux => {
                writeln!(
                    f,
                    "At Flux: docs/integrations/flux/driftd.yaml without its Secret, with this address, and\n"
                )?;
                writeln!(f, "  tr -d '\\n' < {secret} |")?;
                write!(
                    f,
                    "    kubectl -n flux-system create secret generic driftd --from-file=token=/dev/stdin"
                )?;
                if let Some(certificate) = self.certificate.filter(|_| self.is_our_own) {
                    write!(f, " \\\n      --from-file=ca.crt={}", certificate.display())?;
                }
                writeln!(f)
            }
            Sender::Standard => {
                writeln!(
                    f,
                    "At the sender: this address, and the secret in `{secret}`. The body is the plain form, or"
                )?;
                writeln!(f, "has it in `data` (docs/webhooks.md).")?;
                self.trust(f, "the sender", "give it that one to trust")
            }
            Sender::Cloudevents => {
                writeln!(
                    f,
                    "At the sender: this address, and the header `Authorization: Bearer` with the token in"
                )?;
                writeln!(f, "`{secret}`. To try it from here:\n")?;
                writeln!(f, "  for phase in started finished; do")?;
                writeln!(
                    f,
                    "    printf 'Authorization: Bearer %s' \"$(cat {secret})\" | curl -f{} {url} -H @- \\",
                    self.cacert()
                )?;
                writeln!(
                    f,
                    "      -H 'ce-specversion: 1.0' -H 'ce-type: deploy' -H 'ce-source: /ci' -H \"ce-id: $(date +%s)\" \\"
                )?;
                writeln!(
                    f,
                    "      -H 'Content-Type: application/json' -d '{{\"commit\":\"a1b2c3\",\"app\":\"web\",\"phase\":\"'$phase'\"}}'"
                )?;
                writeln!(f, "  done")
            }
        }
    }
}

impl Step<'_> {
    fn plain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, secret) = (self.url, self.secret.display());
        writeln!(
            f,
            "In the pipeline, with docs/integrations/deliver.sh in the repository, the text of `{secret}`"
        )?;
        writeln!(
            f,
            "as its secret DRIFTD_SECRET{}:\n",
            match self.certificate.filter(|_| self.is_our_own) {
                Some(certificate) => format!(", and the text of `{}` as DRIFTD_CA", certificate.display()),
                None => String::new(),
            }
        )?;
        writeln!(f, "  export DRIFTD_URL={url} DRIFTD_APP=web")?;
        writeln!(f, "  sh deliver.sh started")?;
        writeln!(f, "  ./deploy")?;
        writeln!(f, "  sh deliver.sh finished\n")?;
        writeln!(f, "To try it from here:\n")?;
        writeln!(f, "  for phase in started finished; do")?;
        writeln!(
            f,
            "    body='{{\"commit\":\"a1b2c3\",\"app\":\"web\",\"phase\":\"'$phase'\",\"timestamp\":'$(date +%s)'}}'"
        )?;
        writeln!(f, "    curl -f{} '{url}?wait=30' -d \"$body\" \\", self.cacert())?;
        writeln!(f, "      -H \"$(printf %s \"$body\" | driftd sign --secret {secret})\"")?;
        writeln!(f, "  done")
    }

    /// What makes curl trust the certificate.
    fn cacert(&self) -> String {
        match self.certificate.filter(|_| self.is_our_own) {
            Some(certificate) => format!(" --cacert {}", certificate.display()),
            None => String::new(),
        }
    }

    /// What to do about a certificate that nobody else vouches for.
    fn trust(&self, f: &mut fmt::Formatter<'_>, who: &str, or: &str) -> fmt::Result {
        let Some(certificate) = self.certificate.filter(|_| self.is_our_own) else { return Ok(()) };
        let certificate = certificate.display();
        writeln!(f, "\n`{certificate}` is driftd's own, and {who} does not trust it:\n{or};")?;
        writeln!(f, "or name one of a known authority in `certificate:` and `key:`.")
    }
}
