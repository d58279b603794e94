//! Between a tool's objects and canonical records. In work; the interface:
//!
//! ```text
//! pub type PhoneNormaliser = fn(text: &str, region: Option<&str>) -> Option<CompactString>;
//! impl Mapper {
//!     pub fn new(object: &Object, region: Option<CompactString>, phone: PhoneNormaliser) -> Mapper;
//!     pub fn record_in(&self, object: &Json) -> Incoming;        // `remote` is empty and `problem` set without an id
//!     pub fn id_in(&self, object: &Json) -> Option<CompactString>;
//!     pub fn fields_out(&self, operation: &Operation) -> Result<Json, Problem>;   // the remote object of an operation
//!     pub fn value_out(&self, field: &str, value: &Value) -> Json;               // for `find` and addressing by a field
//! }
//! impl Object { pub fn spec(&self) -> StreamSpec; pub fn remote_names(&self) -> Vec<&str>; }
//! impl Manifest {
//!     pub fn parse(file: &str, yaml: &str) -> Result<Manifest, Vec<Problem>>;
//!     pub fn settings(&self, given: &BTreeMap<CompactString, Json>) -> Result<Json, Vec<Problem>>;  // `config` in expressions
//! }
//! impl Suite { pub fn parse(file: &str, yaml: &str) -> Result<Suite, Vec<Problem>>; }
//! pub fn lint(manifest: &Manifest) -> Vec<Problem>;
//! pub fn shipped() -> BTreeMap<&'static str, &'static str>;   // name → manifest.yaml
//! pub fn shipped_tests() -> BTreeMap<&'static str, &'static str>;   // name → tests.yaml
//! ```
