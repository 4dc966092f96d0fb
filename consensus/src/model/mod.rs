//! The nouns. Every word is PRODUCT.md's; nothing here does anything.

mod damping;
mod decision;
mod definition;
mod following;
mod lifetimes;
mod name;
mod observation;
mod published;
mod voters;
mod warning;

pub use damping::*;
pub use decision::*;
pub use definition::*;
pub use following::*;
pub use lifetimes::*;
pub use name::*;
pub use observation::*;
pub use published::*;
pub use voters::*;
pub use warning::*;
