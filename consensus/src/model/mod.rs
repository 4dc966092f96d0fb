//! The nouns. Every word is PRODUCT.md's; nothing here does anything.

mod action;
mod damping;
mod decision;
mod definition;
mod evidence;
mod following;
mod lifetimes;
mod name;
mod observation;
mod published;
mod record;
mod sync;
mod voters;
mod warning;

pub use action::*;
pub use damping::*;
pub use decision::*;
pub use definition::*;
pub use evidence::*;
pub use following::*;
pub use lifetimes::*;
pub use name::*;
pub use observation::*;
pub use published::*;
pub use record::*;
pub use sync::*;
pub use voters::*;
pub use warning::*;
