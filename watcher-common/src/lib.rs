//! What the kernel side and the daemon share: the record on the ring and the knobs set before load.
#![no_std]
