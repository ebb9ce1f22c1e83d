//! One sink of `alerts:`: which fields it has, what is missing, what it is reached by.

use std::{path::PathBuf, time::Duration};

use strum::VariantArray;

use super::{
    Address, Email, Encryption, Endpoint, Form, Github, SinkKind, SinkSettings,
    reach::{
        MAILBOX, REPOSITORY, SERVER, in_the_open, is_loopback_host, mailbox, program, repository, server, url,
    },
};
use crate::{
    config::{
        duration,
        node::{Entry, Node, Tree},
        problem::{Problems, Wrong, listed, quoted},
        rules::severities,
        scalar, secret,
        sender::patterns,
    },
    model::{Flapping, Key, KeyChoice, Pattern, Routing},
};

/// The kinds of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
enum Kind {
    Webhook,
    GitopsStatus,
    Alertmanager,
    Exec,
    Slack,
    Email,
    Github,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Webhook => "webhook",
            Kind::GitopsStatus => "gitops_status",
            Kind::Alertmanager => "alertmanager",
            Kind::Exec => "exec",
            Kind::Slack => "slack",
            Kind::Email => "email",
            Kind::Github => "github",
        }
    }

    /// The fields it has, besides those about what it is told.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Kind::Webhook => &["url", "url_file", "token", "ca", "timeout", "form", "secret"],
            Kind::GitopsStatus => &["url", "url_file", "token", "ca", "timeout"],
            Kind::Alertmanager => &["url", "url_file", "token", "ca", "timeout"],
            Kind::Exec => &["program", "timeout"],
            Kind::Slack => &["url", "url_file", "ca", "timeout"],
            Kind::Email => &["server", "encryption", "user", "password", "from", "to", "ca", "timeout"],
            Kind::Github => &[
                "repository",
                "token",
                "url",
                "ca",
                "timeout",
                "commit_status",
                "deployment_status",
                "issues",
            ],
        }
    }

    /// The fields about what it is told: of each message, or of how things stand.
    fn told(self) -> impl Iterator<Item = &'static str> {
        const WHICH: &[&str] = &["severity", "rules", "keys"];
        const WHERE: &[&str] = &["apps", "environments"];
        const ALSO: &[&str] = &["verdicts", "losses", "flapping", "remind"];
        let groups: &[&[&str]] = match self {
            Kind::Webhook | Kind::Exec => &[WHICH, WHERE, ALSO, &["give_up"]],
            Kind::Slack | Kind::Email => &[WHICH, WHERE, ALSO, &["group", "give_up"]],
            Kind::Github => &[WHICH, WHERE, &["give_up"]],
            Kind::Alertmanager => &[WHICH],
            Kind::GitopsStatus => &[],
        };
        groups.iter().copied().flatten().copied()
    }
}

/// The longest name of a sink, in characters: it stands in each row that waits for it.
const NAME: usize = 64;

/// How long a try may take where the sink does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How old a message may become where the sink does not say: a weekend is longer, but who is told on Monday of what
/// was on Friday looks at the status first.
const GIVE_UP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long is waited for more where a sink that groups does not say: what one deploy or one tool does is done by then.
const GROUP: Duration = Duration::from_secs(5);

/// The longest wait for more: what is told later than that is told late.
const LONGEST_GROUP: Duration = Duration::from_secs(600);

/// GitHub's own API; one of a company's own stands in `url:`.
const GITHUB: &str = "https://api.github.com";

pub(super) fn names() -> String {
    listed(Kind::VARIANTS.iter().map(|kind| kind.as_str()))
}

pub(super) fn sink(entry: &Entry, problems: &mut Problems) -> Option<SinkSettings> {
    let name = &*entry.name.text;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > NAME || !name.bytes().all(fits) {
        let wrong = Wrong::new(format!("a sink's name: 1 to {NAME} letters, digits, `_` and `-`"));
        problems.push(entry.name.span, quoted(name), wrong);
    }
    let Tree::Map(fields) = &entry.value.tree else {
        let wrong = Wrong::new("a map with the sink's fields")
            .hint("as in `pager: { sink: webhook, url: https://pager.example.org/hook }`");
        problems.push(entry.value.span, entry.value.kind(), wrong);
        return None;
    };
    let kind = kind(entry, fields, problems)?;
    let offered: Vec<&str> = ["sink"].iter().chain(kind.fields()).copied().chain(kind.told()).collect();
    let mut read = Read { sound: true, ..Read::default() };
    for field in fields {
        match offered.contains(&&*field.name.text) {
            true => read.field(field, problems),
            false => {
                let wanted = format!("a field of the sink `{}`", kind.as_str());
                secret::unknown(field, &wanted, &offered, problems);
            }
        }
    }
    let settings = read.kind(entry, kind, fields, problems);
    Some(SinkSettings {
        name: name.into(),
        kind: settings.filter(|_| read.sound)?,
        routing: read.routing,
        timeout: read.timeout.unwrap_or(TIMEOUT),
        group: match kind.told().any(|field| field == "group") {
            true => read.group.unwrap_or(GROUP),
            false => Duration::ZERO,
        },
        flapping: read.flapping,
        remind: read.remind,
        give_up: read.give_up.unwrap_or(GIVE_UP),
    })
}

/// What a sink is: its `sink:`, or its own name.
fn kind(entry: &Entry, fields: &[Entry], problems: &mut Problems) -> Option<Kind> {
    if let Some(field) = fields.iter().find(|field| &*field.name.text == "sink") {
        let choices: Vec<_> = Kind::VARIANTS.iter().map(|kind| (kind.as_str(), *kind)).collect();
        return scalar::choice(&field.value, &choices, problems);
    }
    let by_name = Kind::VARIANTS.iter().find(|kind| *kind.as_str() == *entry.name.text).copied();
    if by_name.is_none() {
        let wrong = Wrong::new("a kind of sink as name, or `sink` in it")
            .hint(format!("say which it is, as in `sink: webhook`; the sinks are {}", names()));
        problems.push(entry.name.span, quoted(&entry.name.text), wrong);
    }
    by_name
}

/// The fields of a sink, as far as they were read.
#[derive(Default)]
struct Read {
    url: Option<Address>,
    token: Option<PathBuf>,
    ca: Option<PathBuf>,
    form: Form,
    secret: Option<PathBuf>,
    program: Vec<Box<str>>,
    repository: Option<Box<str>>,
    commit_status: Option<bool>,
    deployment_status: Option<bool>,
    issues: Option<bool>,
    routing: Routing,
    server: Option<(Box<str>, Option<u16>)>,
    encryption: Encryption,
    user: Option<Box<str>>,
    password: Option<PathBuf>,
    from: Option<Box<str>>,
    to: Vec<Box<str>>,
    group: Option<Duration>,
    flapping: Flapping,
    remind: Option<Duration>,
    timeout: Option<Duration>,
    give_up: Option<Duration>,
    /// Whether what the sink is told was read without a mistake: half of it would be told to whom it is not for.
    sound: bool,
}

const FORMS: [(&str, Form); 2] = [("json", Form::Json), ("cloudevents", Form::Cloudevents)];

impl Read {
    fn field(&mut self, field: &Entry, problems: &mut Problems) {
        let node = &field.value;
        match &*field.name.text {
            "url" | "url_file" if self.url.is_some() => {
                let wrong =
                    Wrong::new("one of the two").hint("a file, where whoever knows it may post there");
                problems.push(field.name.span, "`url` next to `url_file`", wrong);
            }
            "url" => self.url = url(node, problems).map(Address::Written),
            "url_file" => self.url = secret::file(node, problems).map(Address::File),
            "token" => self.token = secret::file(node, problems),
            "ca" => self.ca = scalar::path(node, problems),
            "secret" => self.secret = secret::file(node, problems),
            "form" => self.form = scalar::choice(node, &FORMS, problems).unwrap_or_default(),
            "program" => self.program = program(node, problems),
            "repository" => self.repository = scalar::value(node, REPOSITORY, problems, repository),
            "commit_status" => self.commit_status = scalar::boolean(node, problems),
            "deployment_status" => self.deployment_status = scalar::boolean(node, problems),
            "issues" => self.issues = scalar::boolean(node, problems),
            "server" => self.server = scalar::value(node, SERVER, problems, server),
            "encryption" => {
                let words: Vec<_> = Encryption::VARIANTS.iter().map(|one| (one.as_str(), *one)).collect();
                self.encryption = scalar::choice(node, &words, problems).unwrap_or_default();
            }
            "user" => self.user = scalar::text(node, "a name", problems).map(Into::into),
            "password" => self.password = secret::file(node, problems),
            "from" => self.from = scalar::value(node, MAILBOX, problems, mailbox),
            "to" => {
                let none = Wrong::new("at least one address");
                let one =
                    |node: &Node, problems: &mut Problems| scalar::value(node, MAILBOX, problems, mailbox);
                self.to = scalar::one_or_more(node, none, problems, one).unwrap_or_default();
            }
            "group" => {
                self.group = scalar::value(node, duration::WANTED, problems, |text| {
                    duration::parse(text).and_then(|group| match group <= LONGEST_GROUP {
                        true => Ok(group),
                        false => Err(Wrong::new("a duration of at most `10m`")),
                    })
                });
            }
            "flapping" => {
                let words: Vec<_> = Flapping::VARIANTS.iter().map(|one| (one.as_str(), *one)).collect();
                self.flapping = scalar::choice(node, &words, problems).unwrap_or_default();
            }
            "remind" => self.remind = span(node, Duration::from_secs(60), problems),
            "timeout" => self.timeout = span(node, Duration::from_secs(1), problems),
            "give_up" => self.give_up = span(node, Duration::from_secs(60), problems),
            // `sink` was read first.
            _ => self.sound &= self.told(field, problems).is_some(),
        }
    }

    /// A field about what the sink is told.
    fn told(&mut self, field: &Entry, problems: &mut Problems) -> Option<()> {
        let (node, routing) = (&field.value, &mut self.routing);
        match &*field.name.text {
            "severity" => routing.least = scalar::choice(node, &severities(), problems)?,
            "rules" => routing.rules = Some(patterns(node, problems)?),
            "keys" => routing.keys = Some(keys(node, problems)?),
            "apps" => routing.apps = Some(patterns(node, problems)?),
            "environments" => routing.environments = Some(patterns(node, problems)?),
            "verdicts" => routing.verdicts = scalar::boolean(node, problems)?,
            "losses" => routing.losses = scalar::boolean(node, problems)?,
            _ => {}
        }
        Some(())
    }

    /// What it is reached by; notes what is missing.
    fn kind(
        &mut self,
        entry: &Entry,
        kind: Kind,
        fields: &[Entry],
        problems: &mut Problems,
    ) -> Option<SinkKind> {
        let mut missing = |names: &[&str], hint: &str| {
            if !fields.iter().any(|field| names.contains(&&*field.name.text)) {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                let names = names.join(" or ");
                let found = format!("`{}` without {names}", entry.name.text);
                problems.push(entry.name.span, found, Wrong::new(format!("{names} in it")).hint(hint));
            }
        };
        const URL: &str = "where it is told, as in `url: https://pager.example.org/hook`";
        match kind {
            Kind::Exec => {
                missing(
                    &["program"],
                    "the program with its arguments, as in `program: [/usr/local/bin/page]`",
                );
                let program = std::mem::take(&mut self.program);
                return (!program.is_empty()).then_some(SinkKind::Exec { program });
            }
            Kind::Email => {
                missing(&["server"], "the mail server, as in `server: smtp.example.org`");
                missing(&["from"], "who writes, as in `from: driftd@example.org`");
                missing(&["to"], "to whom, as in `to: ops@example.org`");
                return self.email(fields, problems).map(SinkKind::Email);
            }
            Kind::Github => {
                missing(&["repository"], "where the issues are, as in `repository: acme/infra`");
                missing(
                    &["token"],
                    "the file with a token that may write statuses, deployments and issues there",
                );
                self.url.get_or_insert(Address::Written(GITHUB.into()));
            }
            Kind::Webhook | Kind::GitopsStatus | Kind::Alertmanager | Kind::Slack => {
                missing(&["url", "url_file"], URL);
            }
        }
        let to = Endpoint { url: self.url.take()?, token: self.token.take(), ca: self.ca.take() };
        in_the_open(&to, fields, problems)?;
        Some(match kind {
            Kind::Webhook => SinkKind::Webhook { to, form: self.form, secret: self.secret.take() },
            Kind::GitopsStatus => SinkKind::GitopsStatus { to },
            Kind::Alertmanager => SinkKind::Alertmanager { to },
            Kind::Slack => SinkKind::Slack { to },
            Kind::Github => {
                to.token.as_ref()?;
                SinkKind::Github(Github {
                    api: to,
                    repository: self.repository.take()?,
                    commit_status: self.commit_status.unwrap_or(true),
                    deployment_status: self.deployment_status.unwrap_or(false),
                    issues: self.issues.unwrap_or(true),
                })
            }
            Kind::Exec | Kind::Email => return None,
        })
    }
}

impl Read {
    /// A mail server; notes what does not fit together.
    fn email(&mut self, fields: &[Entry], problems: &mut Problems) -> Option<Email> {
        let place = |name: &str| fields.iter().find(|field| &*field.name.text == name);
        let mut sound = true;
        for (name, other) in [("user", "password"), ("password", "user")] {
            if let (Some(field), None) = (place(name), place(other)) {
                let wrong = Wrong::new(format!("`{other}` beside it"));
                problems.push(field.name.span, format!("`{name}` without `{other}`"), wrong);
                sound = false;
            }
        }
        if let (Encryption::None, Some(field), Some((server, _))) =
            (self.encryption, place("encryption"), &self.server)
            && (!is_loopback_host(server) || self.password.is_some())
        {
            let wrong = Wrong::new("`starttls` or `tls`")
                .hint("in the open only to a server on loopback, and without a password");
            problems.push(field.value.span, "`none`", wrong);
            sound = false;
        }
        let (server, port) = self.server.take()?;
        let from = self.from.take()?;
        let login = self.user.take().zip(self.password.take());
        let to = std::mem::take(&mut self.to);
        (sound && !to.is_empty()).then(|| Email {
            server,
            port: port.unwrap_or(self.encryption.port()),
            encryption: self.encryption,
            login,
            from,
            to,
            ca: self.ca.take(),
        })
    }
}

fn span(node: &Node, least: Duration, problems: &mut Problems) -> Option<Duration> {
    scalar::value(node, duration::WANTED, problems, |text| duration::at_least(least, text))
}

/// One key or pattern of keys, or a list of them.
fn keys(node: &Node, problems: &mut Problems) -> Option<Vec<KeyChoice>> {
    let none = Wrong::new("at least one key").hint("leave the field out, and all count");
    scalar::one_or_more(node, none, problems, |node, problems| {
        scalar::value(node, "a key, or a pattern of keys", problems, |text| {
            let read = match Pattern::is_one(text) {
                true => Pattern::parse(text).map(KeyChoice::Several),
                false => text.parse::<Key>().map(KeyChoice::One),
            };
            read.map_err(|invalid| Wrong::new(invalid.wanted))
        })
    })
}
