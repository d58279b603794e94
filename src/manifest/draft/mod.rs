//! A manifest to begin with: from what a person answers, or from a description of the tool (`openapi`). Pure.
//!
//! A draft says what it is sure of, and marks what it guessed: `# unverified` in the file, and in its list `unverified`.

mod guess;
mod openapi;
mod render;
#[cfg(test)]
mod tests;

pub use openapi::{Proposal, propose};
pub use render::{manifest, tests};

/// How requests are authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// `Authorization: Bearer TOKEN`.
    #[default]
    Bearer,
    /// A header of this name with the token.
    Header(String),
    /// User and password.
    Basic,
}

/// How the next page is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pages {
    /// One answer is all.
    #[default]
    One,
    /// A page number in this parameter.
    Number(String),
    /// Rows to skip in this parameter.
    Skip(String),
    /// A token of the answer (path) in this parameter.
    Token(String, String),
    /// The answer holds the address of the next page at this path.
    Url(String),
}

/// A field of the tool and what it is to Nivel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftField {
    /// The canonical name.
    pub name: String,
    /// Where it is in the tool's object.
    pub to: String,
    /// Its type; empty for text.
    pub kind: String,
}

/// The objects that lists hang below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftParents {
    /// The path that lists them.
    pub list: String,
    /// Where they are in the answer; empty when the answer is the list.
    pub records: String,
    /// Where one has its id.
    pub id: String,
}

/// How an object is changed: the method, and the member of the body that holds it, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// `POST`, `PUT` or `PATCH`.
    pub method: String,
    /// Path behind the base; `{{ id }}` for the object's id.
    pub path: String,
    /// The member of the body that holds the object.
    pub inside: Option<String>,
}

/// A manifest in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The connector's name.
    pub name: String,
    /// One line about the tool.
    pub doc: String,
    /// The address before every path.
    pub base: String,
    /// How requests are authenticated.
    pub login: Login,
    /// The path of a cheap request that proves address and credential.
    pub check: String,
    /// The name of the stream: `person`, `contact`.
    pub object: String,
    /// The path that lists the objects.
    pub list: String,
    /// Where the objects are in the answer; empty when the answer is the list.
    pub records: String,
    /// What the list hangs below, when there is one for each of other objects; `{{ parent }}` in the paths.
    pub parents: Option<DraftParents>,
    /// The parameter for the size of a page, and the size.
    pub size: Option<(String, u64)>,
    /// How the next page is asked for.
    pub pages: Pages,
    /// Where an object's id is.
    pub id: String,
    /// Where the time of its last change is, and how it is written (`rfc3339`, `s`, `ms`).
    pub modified: Option<(String, String)>,
    /// The parameter that asks only for what changed since.
    pub since: Option<String>,
    /// The path that gives one object; `{{ id }}` for its id.
    pub get: Option<String>,
    /// The parameter of the list that looks an e-mail up.
    pub find: Option<String>,
    /// How an object is made.
    pub create: Option<Way>,
    /// How it is changed.
    pub update: Option<Way>,
    /// The mapping.
    pub fields: Vec<DraftField>,
    /// Fields of the tool that are not mapped.
    pub others: Vec<String>,
    /// What nobody has seen to be true.
    pub unverified: Vec<String>,
}

impl Draft {
    /// Maps fields of the tool by their names, as far as these say what they are.
    pub fn map_by_name<'a>(&mut self, names: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (to, hint) in names {
            match guess::field(to, hint) {
                Some(field) if !self.fields.iter().any(|known| known.name == field.name) => self.fields.push(field),
                _ => self.others.push(to.to_owned()),
            }
        }
    }
}
