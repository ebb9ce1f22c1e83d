//! The configuration file: text in, checked [`Config`] out, or every mistake at once, each with its place.
//!
//! Nothing here opens a path that the file names, asks a clock or looks at the host: [`parse`] is pure, and
//! [`load`] reads the one file and no other. What a key or an expectation is, `model` says.
//!
//! The way of a text: `node` turns YAML into a tree that keeps the place of everything, and knows no field;
//! `file`, `webhook`, `http`, `hub`, `sender` and `rules` walk the tree, take what they know and push a `problem` for what they
//! do not; `declared` and `sources` do so for keys and values and for the files that declare them; `scalar` and `duration` read
//! single values.

mod callers;
mod declared;
mod duration;
mod file;
mod http;
mod hub;
mod name_pattern;
mod node;
mod problem;
mod rules;
mod scalar;
mod sender;
mod sources;
#[cfg(test)]
mod tests;
mod webhook;

pub use callers::Callers;
pub use declared::declared;
pub use file::{Config, ConfigError, DEFAULT_RING, MAX_FILE, load, parse, without_file};
pub use http::Http;
pub use hub::Hub;
pub use name_pattern::NamePattern;
pub use problem::{Problem, Problems, Span};
pub use sender::{Credential, Only, Proof, Sender};
pub use webhook::{Tls, Webhook};
