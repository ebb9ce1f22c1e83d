//! A sweep against a bare loop of pread(2) in C over the same files, in turns: first one, then the other, under the same
//! plan, because what a plan attaches makes every read of a sysctl dearer, driftd's and the loop's.
//!
//! A sweep is asked for by a deployment, and says itself how long it took; the loop is compiled here, from `sweep.c`.

use std::{
    fs, io,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use driftd_tests::host;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tempfile::TempDir;

use crate::{
    Asked,
    daemon::Home,
    figures::{median, tell},
    keys::{self, Declared},
};

/// How many keys are many.
const MANY: usize = 10_000;

/// Measures with every readable key of this host.
pub fn measure(asked: &Asked) {
    let declared = keys::readable("/proc/sys");
    for plan in ["none", asked.plan()] {
        sweep(&format!("sweep.{plan}"), plan, &declared, asked.times(21, 7));
    }
}

/// Measures with many keys: those of a network namespace with so many interfaces that there are as many.
pub fn measure_many(asked: &Asked) {
    host::in_new_network(|| {
        host::set_up("lo").expect("lo can be brought up");
        let mut declared = Vec::new();
        let mut pairs = 0;
        while declared.len() < MANY {
            // Each brings about a hundred keys; more at once than one pair, because listing them takes a while.
            for _ in 0..8 {
                add_pair(pairs).expect("a pair of veth interfaces can be made");
                pairs += 1;
            }
            declared = keys::readable("/proc/sys");
        }
        declared.truncate(MANY);
        tell("many.interfaces", f64::from(pairs * 2));
        sweep("many", "none", &declared, asked.times(11, 5));
    });
}

fn sweep(name: &str, plan: &str, declared: &[Declared], rounds: usize) {
    let home = Home::new(plan, &keys::rules(declared));
    let mut daemon = home.start();
    daemon.swept();
    let mut bare = match Bare::start(declared) {
        Ok(bare) => bare,
        Err(error) => return eprintln!("the bare loop cannot be had: {error}\nhint: install a C compiler"),
    };
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for revision in 1..=rounds {
        daemon.deploy(revision);
        let mut swept = None;
        daemon.wait_for("the verdict", |line| {
            if line["kind"] == "sweep" {
                swept = line["micros"].as_f64();
            }
            line["kind"] == "verdict"
        });
        let sweep = 1000.0 * swept.expect("a deployment is swept before its verdict");
        let bare = bare.read().expect("the bare loop reads");
        ours.push(sweep);
        theirs.push(bare);
        ratios.push(sweep / bare);
    }
    tell(&format!("{name}.keys"), declared.len() as f64);
    tell(&format!("{name}.sweep_ns"), median(ours));
    tell(&format!("{name}.bare_ns"), median(theirs));
    tell(&format!("{name}.ratio"), median(ratios));
}

/// The bare loop at work.
struct Bare {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    _program: TempDir,
}

impl Bare {
    /// Compiles it, and has it open the files.
    fn start(declared: &[Declared]) -> io::Result<Bare> {
        let directory = tempfile::tempdir()?;
        let (source, program) = (directory.path().join("sweep.c"), directory.path().join("sweep"));
        fs::write(&source, include_str!("sweep.c"))?;
        let output = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut ask = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let files: String = declared.iter().map(|key| format!("{}\n", key.path)).collect();
        ask.write_all(format!("{files}\n").as_bytes())?;
        let mut bare = Bare { child, ask, answers, _program: directory };
        // The first round is the files' first read, as driftd has had it.
        bare.read()?;
        Ok(bare)
    }

    /// One round over all files, in nanoseconds.
    fn read(&mut self) -> io::Result<f64> {
        self.ask.write_all(b"again\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().map_err(|_| io::Error::other(format!("`{}` is no time", line.trim())))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a pair of veth interfaces in the network namespace of this thread.
fn add_pair(number: u32) -> io::Result<()> {
    let mut peer = LinkMessage::default();
    peer.attributes.push(LinkAttribute::IfName(format!("peer{number}")));
    let mut pair = LinkMessage::default();
    pair.attributes.push(LinkAttribute::IfName(format!("pair{number}")));
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::NewLink(pair)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}
