//! What differs from tool to tool.

use crate::identity::text::fold;

/// A chance that differs from tool to tool.
pub(super) fn by_tool(tool: &str, [crm, shop, support]: [f64; 3]) -> f64 {
    match tool {
        "crm" => crm,
        "shop" => shop,
        _ => support,
    }
}

/// Letters and digits of a name, as they stand in a mailbox.
pub(super) fn slug(name: &str) -> String {
    fold(name).chars().filter(char::is_ascii_alphanumeric).collect()
}
