//! The configuration file: text in, checked [`Config`] out, or every mistake at once, each with its place.
//!
//! Nothing here opens a path that the file names, asks a clock or looks at the host: [`parse`] is pure, and
//! [`load`], [`socket_of`] and [`state_of`] read the one file and no other. What a key or an expectation is, `model` says.
//!
//! The way of a text: `node` turns YAML into a tree that keeps the place of everything, and knows no field;
//! `file`, `webhook`, `http`, `alerts`, `hub`, `sender` and `rules` walk the tree, take what they know and push a `problem` for what they
//! do not; `declared`, `sources` and `git` do so for keys and values and for the files and repositories that declare them;
//! `remedy` reads that field of a rule, `contradiction` and `kilobytes` look for what is most likely not meant; `scalar` and
//! `duration` read single values, `secret` the names of files with one.

mod alerts;
mod callers;
mod contradiction;
mod declared;
mod duration;
mod file;
mod git;
mod http;
mod hub;
mod kilobytes;
mod mute;
mod node;
mod problem;
mod remedy;
mod rules;
mod scalar;
mod secret;
mod sender;
mod sources;
#[cfg(test)]
mod tests;
mod webhook;

pub use alerts::{
    Address, Alerts, Email, Encryption, Endpoint, Form, Github, SinkKind, SinkSettings, is_posted_to, shows,
};
pub use callers::Callers;
pub use declared::declared;
pub use file::{
    Config, ConfigError, DEFAULT_RING, MAX_FILE, Place, load, parse, socket_of, state_of, without_file,
};
pub use http::Http;
pub use hub::Hub;
pub use problem::{Problem, Problems, Span};
pub use sender::{Credential, Only, Proof, Sender};
pub use webhook::{Tls, Webhook};
