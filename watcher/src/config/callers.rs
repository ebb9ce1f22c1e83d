//! Who may call, by address: the `allow` and `proxies` of the `webhook:` section.

use ipnet::IpNet;

use super::{
    node::Node,
    problem::{Problems, Wrong},
    scalar,
};

/// Whose connections are taken, and whose word about the address of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// Who may send (`allow:`), by the address of the sender itself; anybody may try where it is absent.
    pub allow: Option<Vec<IpNet>>,
    /// The proxies whose `X-Forwarded-For` is believed (`proxies:`).
    pub proxies: Vec<IpNet>,
}

const WANTED: &str = "an address or a network, as in `192.0.2.7`, `10.0.0.0/8` or `\"2001:db8::/32\"`";

/// One network or a list of them.
pub(super) fn networks(node: &Node, problems: &mut Problems) -> Option<Vec<IpNet>> {
    let none = Wrong::new("at least one address or network").hint("leave the field out");
    scalar::one_or_more(node, none, problems, |node, problems| scalar::value(node, WANTED, problems, network))
}

fn network(text: &str) -> Result<IpNet, Wrong> {
    let wrong = || Wrong::new(WANTED).hint("an address and not a name");
    let network = match text.parse() {
        Ok(address) => IpNet::from(std::net::IpAddr::to_canonical(&address)),
        Err(_) => text.parse::<IpNet>().map_err(|_| wrong())?,
    };
    match network.addr() == network.network() {
        true => Ok(network),
        // Was it the address that was meant, or the network it is in? The one who wrote it knows.
        false => {
            let hint =
                format!("`{}` for the network, `{}` for the one address", network.trunc(), network.addr());
            Err(Wrong::new("a network whose address ends where its prefix does").hint(hint))
        }
    }
}
