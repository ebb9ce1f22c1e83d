//! Claims about the loop: a host made of files, a watch over it, and moments made by hand. No real time passes; the
//! thread of the slow reader is real, and its answers are waited for.

mod baseline;
mod changes;
mod coupled;
mod deployments;
mod doubts;
mod fights;
mod host;
mod losses;
mod moving;
mod mute;
mod patterns;
mod quiet;
mod remedies;
mod replay;
mod restarts;
mod slow;
mod windows;
