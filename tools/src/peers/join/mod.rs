//! How a node becomes a member. It shows its token and gets an id, the
//! authority and the shard's secret; then it runs, and asks for its seat until
//! it votes. Each step can be taken again: both sides may crash between any two.

mod desk;
mod enter;
mod seat;
mod verify;
mod wire;

pub use desk::JoinDesk;
pub use enter::{Ticket, begin, get_id};
pub use seat::take_seat;
