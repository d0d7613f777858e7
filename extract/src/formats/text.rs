//! Plain text.

use crate::decode::decode;
use crate::gather::{Gather, Read};

pub(super) fn read(octets: &[u8], charset: &str, gather: &mut Gather) -> Read {
    let (text, damaged) = decode(octets, charset);
    if damaged {
        gather.note("some octets are not of its charset");
    }
    gather.push(&text)
}
