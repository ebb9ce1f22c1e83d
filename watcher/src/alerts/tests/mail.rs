//! Mail, through a real server with TLS: what it is sent, how it may behave, and what is said of it.

use std::path::Path;

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{Home, all_sent, file, finding};

/// How the server behaves towards one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It takes it.
    Takes,
    /// It offers no STARTTLS.
    Bare,
    /// It does not know the name and password, and says what it was told.
    Unknown,
    /// It does not understand the name and password, and says what it was told.
    Confused,
    /// It says this to the whole mail.
    Says(&'static str),
    /// It says nothing any more after the greeting.
    Hangs,
    /// It says nothing any more after the whole mail.
    HangsAtTheEnd,
    /// It goes after the whole mail, and says nothing.
    Leaves,
    /// It goes after half a word about the whole mail.
    BreaksOff,
}

/// One mail as the server has it.
struct Mailed {
    /// The words of the envelope, with the secret of `AUTH`.
    envelope: Vec<String>,
    text: String,
}

impl Mailed {
    /// A header that is on one line.
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let found = self.text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no `{name}` in {}", self.text))
    }

    fn body(&self) -> &str {
        self.text.split_once("\n\n").unwrap().1
    }
}

/// A mail server that behaves so, one mail after the other, and then takes all; its port, and what it was sent.
async fn server(manners: &'static [Manner], certificate: &Path) -> (u16, UnboundedReceiver<Mailed>) {
    let (acceptor, pem) = crate::test_host::tls();
    std::fs::write(certificate, pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mails) = unbounded_channel();
    tokio::spawn(async move {
        let mut manners = manners.iter().copied();
        while let Ok((stream, _)) = listener.accept().await {
            let manner = manners.next().unwrap_or(Manner::Takes);
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 mail ESMTP\r\n").await.unwrap();
                if let Some((envelope, true)) = talk(&mut stream, manner, false, &sender).await {
                    assert_eq!(envelope.len(), 1, "nothing but EHLO before TLS: {envelope:?}");
                    // Who does not trust us goes.
                    if let Ok(stream) = acceptor.accept(stream.into_inner()).await {
                        talk(&mut BufReader::new(stream), manner, true, &sender).await;
                    }
                }
            });
        }
    });
    (port, mails)
}

/// The talk until its end, or until TLS is wanted.
async fn talk(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    manner: Manner,
    secure: bool,
    sender: &UnboundedSender<Mailed>,
) -> Option<(Vec<String>, bool)> {
    let mut envelope = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if manner == Manner::Hangs {
            continue;
        }
        let word = line.split(' ').next().unwrap().to_ascii_uppercase();
        if word == "STARTTLS" {
            stream.write_all(b"220 go ahead\r\n").await.ok()?;
            return Some((envelope, true));
        }
        envelope.push(line.clone());
        let answer = match word.as_str() {
            "EHLO" if secure => "250-mail\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN".to_owned(),
            "EHLO" if manner == Manner::Bare => "250-mail\r\n250 8BITMIME".to_owned(),
            "EHLO" => "250-mail\r\n250-8BITMIME\r\n250 STARTTLS".to_owned(),
            "AUTH" if manner == Manner::Unknown => format!("535 5.7.8 unknown: {line}"),
            "AUTH" if manner == Manner::Confused => format!("501 5.5.2 what is {line}"),
            "AUTH" => "235 welcome".to_owned(),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut text = String::new();
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.ok()?;
                    match line.trim_end() {
                        "." => break,
                        line => text += &format!("{}\n", line.strip_prefix('.').unwrap_or(line)),
                    }
                }
                let _gone = sender.send(Mailed { envelope: std::mem::take(&mut envelope), text });
                match manner {
                    Manner::Says(said) => said.to_owned(),
                    Manner::Leaves => return None,
                    Manner::BreaksOff => {
                        stream.write_all(b"25").await.ok()?;
                        return None;
                    }
                    Manner::HangsAtTheEnd => {
                        // Until the other side goes.
                        let _ended = stream.read_line(&mut String::new()).await;
                        return None;
                    }
                    _ => "250 taken".to_owned(),
                }
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

const PASSWORD: &str = "hunter2-hunter2";

struct Post {
    home: Home,
    mails: UnboundedReceiver<Mailed>,
    _files: tempfile::TempDir,
}

/// A home that writes to such a server.
async fn post(manners: &'static [Manner], more: &str) -> Post {
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.pem");
    let (port, mails) = server(manners, &ca).await;
    let password = file(&files, "password", PASSWORD);
    let sink = format!(
        "    mail:\n      sink: email\n      server: localhost:{port}\n      user: driftd\n      password: {}\n      \
         ca: {}\n      from: driftd@example.org\n      to: [ops@example.org, 'Night <night@example.org>']\n      \
         group: 0s{more}\n",
        password.display(),
        ca.display()
    );
    Post { home: Home::start(&sink), mails, _files: files }
}

#[tokio::test]
async fn a_mail_says_what_departs_and_what_can_be_done_after_tls_and_a_login() {
    let Post { mut home, mut mails, _files } = post(&[], "").await;
    home.record(vec![finding("f1", "opened")]).await;
    let mail = mails.recv().await.unwrap();
    let login =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("\0driftd\0{PASSWORD}"));
    let [hello, rest @ ..] = mail.envelope.as_slice() else { panic!("{:?}", mail.envelope) };
    assert!(hello.starts_with("EHLO "), "{hello}");
    assert_eq!(
        rest,
        [
            &format!("AUTH PLAIN {login}"),
            "MAIL FROM:<driftd@example.org>",
            "RCPT TO:<ops@example.org>",
            "RCPT TO:<night@example.org>",
            "DATA",
        ]
    );
    let server = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(
        mail.header("Subject"),
        format!("{server}: critical: vm.swappiness is 61, expected 10"),
        "{}",
        mail.text
    );
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    let since = mail.body().lines().find(|line| line.starts_with("  since")).unwrap().to_owned();
    insta::assert_snapshot!(mail.body().replace(&since, "  since    -"), @r#"
    critical: vm.swappiness is 61, expected 10 (rule f1, /etc/driftd.yaml:7), w=
    as 10; changed after the deploy; unattributed, seen by sweep, under commit =
    a1b2c3
      since    -
      commit   https://git.example.org/infra/commit/a1b2c3
      revert   sysctl -w vm.swappiness=3D10
      adopt    driftd adopt vm.swappiness --format patch
      more     driftd history vm.swappiness
    "#);
    home.until(all_sent).await;
    home.end();
}

/// The first is answered so, and it comes again as the same mail; what is about the same finding comes after it.
async fn check_again(manner: &'static [Manner], more: &str, why: &str) {
    let Post { mut home, mut mails, _files } = post(manner, more).await;
    home.record(vec![finding("f1", "opened"), finding("f1", "healed")]).await;
    let first = mails.recv().await.unwrap();
    let said = home.why().await;
    assert!(said.contains(why), "{manner:?}: {said}");
    let again = mails.recv().await.unwrap();
    assert_eq!(again.header("Message-ID"), first.header("Message-ID"), "{manner:?}");
    assert_eq!(again.text, first.text, "{manner:?}");
    let healed = mails.recv().await.unwrap();
    assert_ne!(healed.header("Message-ID"), first.header("Message-ID"), "{manner:?}");
    assert!(healed.header("Subject").contains(": healed: vm.swappiness"), "{manner:?}: {}", healed.text);
    home.until(all_sent).await;
    assert!(mails.try_recv().is_err(), "{manner:?}: once is enough");
    home.end();
}

#[tokio::test]
async fn a_server_with_trouble_is_sent_the_same_mail_again_and_what_follows_after_it() {
    check_again(&[Manner::Says("451 4.3.0 not now")], "", "transient error (451): 4.3.0 not now").await;
    check_again(&[Manner::Says("421 4.7.0 too many")], "", "transient error (421): 4.7.0 too many").await;
    // The limit is that of the next try, too, and a machine may be slow.
    check_again(&[Manner::HangsAtTheEnd], "\n      timeout: 5s", "").await;
    check_again(&[Manner::Leaves], "", "").await;
    check_again(&[Manner::BreaksOff], "", "").await;
}

#[tokio::test]
async fn a_mail_that_the_server_refuses_is_given_up() {
    let Post { mut home, mut mails, _files } = post(&[Manner::Says("554 5.6.0 no")], "").await;
    home.record(vec![finding("f1", "opened")]).await;
    mails.recv().await.unwrap();
    let found = home.until(|found| found.iter().any(|sink| sink.dead == 1)).await;
    assert_eq!(found[0].why.as_deref(), Some("permanent error (554): 5.6.0 no"));
    home.end();
}

/// Why the first try was in vain; nothing of it may hold the password.
async fn why(manner: &'static [Manner]) -> String {
    // Only who hangs is given up soon: a machine may be slow.
    let limit = if manner == [Manner::Hangs] { "1s" } else { "1m" };
    let Post { mut home, mut mails, _files } = post(manner, &format!("\n      timeout: {limit}")).await;
    home.record(vec![finding("f1", "opened")]).await;
    let why = home.why().await;
    assert!(mails.try_recv().is_err(), "{manner:?}: nothing was sent");
    assert!(!why.contains(PASSWORD), "{why}");
    home.end();
    why
}

#[tokio::test]
async fn what_a_server_says_of_a_password_is_not_repeated() {
    assert_eq!(why(&[Manner::Unknown]).await, "answered 535 to the name and password");
    assert_eq!(why(&[Manner::Confused]).await, "answered 501");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_speaks_no_tls() {
    let why = why(&[Manner::Bare]).await;
    assert!(why.contains("STARTTLS"), "{why}");
}

#[tokio::test]
async fn a_mail_server_that_hangs_is_left_at_its_limit() {
    let why = why(&[Manner::Hangs]).await;
    assert!(why.contains("no answer within 1s") || why.contains("timed out"), "{why}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_for_which_nobody_vouches() {
    let files = tempfile::tempdir().unwrap();
    let (ca, other) = (files.path().join("ca.pem"), files.path().join("other.pem"));
    let (port, mut mails) = server(&[], &ca).await;
    let _other = server(&[], &other).await;
    let mut home = Home::start(&format!(
        "    email: {{ server: \"localhost:{port}\", from: d@example.org, to: o@example.org, group: 0s, ca: {} }}\n",
        other.display()
    ));
    home.record(vec![finding("f1", "opened")]).await;
    let why = home.why().await;
    assert!(why.contains("certificate"), "{why}");
    assert!(mails.try_recv().is_err());
    home.end();
}
