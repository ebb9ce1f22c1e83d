//! E-mail, by SMTP (RFC 5321) with lettre: STARTTLS or TLS from the first byte, a name and a password where the server wants
//! them.
//!
//! No password is part of what is said, nor what the server says where it was told one.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::{
    letter::{letter, subject},
    message::Letterhead,
    patience::Answer,
    post::{PostError, certificates},
    secret,
};
use crate::{
    config::{self, Encryption},
    store::Message,
};

/// What of the server's own words is said, in characters.
const SAID: usize = 200;

/// A mail server, and who writes to whom by it.
pub struct Email {
    settings: config::Email,
    from: Mailbox,
    to: Vec<Mailbox>,
    tls: Tls,
    limit: Duration,
}

impl Email {
    /// The server of these settings. Its files are read once to see that they can be.
    ///
    /// # Errors
    /// A file cannot be read or used, or an address is none.
    pub fn new(settings: &config::Email, limit: Duration) -> Result<Email, PostError> {
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|_| PostError::NoMailbox(text.into()));
        if let Some((_, password)) = &settings.login {
            secret::read(password)?;
        }
        let tls = match settings.encryption {
            Encryption::Starttls => Tls::Required(parameters(settings)?),
            Encryption::Tls => Tls::Wrapper(parameters(settings)?),
            Encryption::None => Tls::None,
        };
        Ok(Email {
            from: mailbox(&settings.from)?,
            to: settings.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?,
            tls,
            limit,
            settings: settings.clone(),
        })
    }

    /// Sends messages as one mail.
    pub async fn send(&self, sent: &[Message], head: &Letterhead) -> Answer {
        let later = |why: String| Answer::Later { why, after: None };
        let mail = match self.mail(sent, head) {
            Ok(mail) => mail,
            Err(error) => return Answer::Refused(format!("no mail can be made of it: {error}")),
        };
        let transport = match self.transport(head) {
            Ok(transport) => transport,
            Err(why) => return later(why),
        };
        // The limit of lettre is for each step: a server that is slow in all of them is slow.
        match tokio::time::timeout(self.limit, transport.send(mail)).await {
            Ok(Ok(_)) => Answer::Taken,
            Ok(Err(error)) => judged(&error),
            Err(_) => later(format!("no answer within {:?}", self.limit)),
        }
    }

    fn transport(&self, head: &Letterhead) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let config::Email { server, port, login, .. } = &self.settings;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&**server)
            .port(*port)
            .tls(self.tls.clone())
            .timeout(Some(self.limit))
            .hello_name(ClientId::Domain(head.server.to_string()));
        if let Some((user, password)) = login {
            let password = secret::read(password).map_err(|error| error.to_string())?;
            transport = transport.credentials(Credentials::new(user.to_string(), password));
        }
        Ok(transport.build())
    }

    fn mail(&self, sent: &[Message], head: &Letterhead) -> Result<Mail, lettre::error::Error> {
        let id = sent.first().map_or("", |first| &first.id);
        let mut mail = Mail::builder()
            .from(self.from.clone())
            .subject(subject(sent, head))
            // The same each time it is sent: who has it already may see so.
            .message_id(Some(format!("<{id}@{}>", domain(&head.server))))
            .header(ContentType::TEXT_PLAIN)
            .header(AutoSubmitted);
        if let Some(time) = sent.last().map(|last| last.row.entry.time) {
            mail = mail.date(time.into());
        }
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        mail.body(letter(sent, head))
    }
}

/// `Auto-Submitted: auto-generated` (RFC 3834): who is away does not answer it.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// A host's name as the right side of a message's id.
fn domain(server: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' };
    server.chars().map(fits).collect()
}

fn parameters(settings: &config::Email) -> Result<TlsParameters, PostError> {
    let unusable = |error: lettre::transport::smtp::Error| PostError::Mail(error.to_string());
    let mut tls =
        TlsParameters::builder(settings.server.to_string()).certificate_store(CertificateStore::None);
    for certificate in certificates(settings.ca.as_deref())? {
        // Of the host's own there are some that rustls cannot use, and that vouch for nobody then.
        match Certificate::from_der(certificate.to_vec()) {
            Ok(certificate) => tls = tls.add_root_certificate(certificate),
            Err(error) => tracing::debug!("a certificate cannot be used: {error}"),
        }
    }
    tls.build_rustls().map_err(unusable)
}

/// What an error means. What says that this very mail is wrong is final; all else may be mended by somebody.
fn judged(error: &lettre::transport::smtp::Error) -> Answer {
    let Some(code) = error.status().map(u16::from) else {
        return Answer::Later { why: clean_error(error), after: None };
    };
    match code {
        // "Authentication credentials invalid" and its like (RFC 4954, section 6): the server may say what it was told.
        530..=538 | 454 => {
            Answer::Later { why: format!("answered {code} to the name and password"), after: None }
        }
        // "Syntax error in parameters" and its like (RFC 5321, section 4.2.3): who does not understand a line repeats it, and it
        // may be that of the password.
        500..=504 => Answer::Later { why: format!("answered {code}"), after: None },
        // "Exceeded storage allocation", "Transaction failed" (RFC 5321, section 4.2.3).
        552 | 554 => Answer::Refused(clean_error(error)),
        _ => Answer::Later { why: clean_error(error), after: None },
    }
}

fn clean_error(error: &lettre::transport::smtp::Error) -> String {
    super::render::clean(&error.to_string()).chars().take(SAID).collect()
}
