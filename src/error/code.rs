//! The stable error codes. Each has a page in `src/error/pages/` that `nivel explain CODE` prints.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Who;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $who:ident;)+) => {
        /// A stable error code; never reused for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $name,)+ }

        impl Code {
            /// Every code, in the order of the pages.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Who has to act.
            #[must_use]
            pub fn who(self) -> Who {
                match self { $(Self::$name => Who::$who,)+ }
            }
        }

        /// The page of a code: what happened, why, what to do. Markdown.
        #[must_use]
        pub fn page(code: Code) -> &'static str {
            match code { $(Code::$name => include_str!(concat!("pages/", $text, ".md")),)+ }
        }
    };
}

codes! {
    /// The config file cannot be read or is not YAML.
    ConfigUnreadable = "CFG001", Admin;
    /// The config has an unknown or ill-typed entry.
    ConfigInvalid = "CFG002", Admin;
    /// The config names something that does not exist: a system, a stream, a field, a connector.
    ConfigDangling = "CFG003", Admin;
    /// A secret is missing or empty.
    SecretMissing = "CFG004", Admin;
    /// A manifest is not valid YAML or has an unknown or ill-typed entry.
    ManifestInvalid = "MAN001", Admin;
    /// An expression of a manifest does not compile or uses a name that does not exist.
    ManifestExpression = "MAN002", Admin;
    /// A manifest is well-formed but does not make sense.
    ManifestSense = "MAN003", Admin;
    /// A connector's canned exchange gave another result than expected.
    ConnectorTest = "MAN004", Admin;
    /// The tool cannot be reached.
    Unreachable = "CON001", Nobody;
    /// The tool answered with an error of its own.
    ToolError = "CON002", Nobody;
    /// The tool answered with something that is not what the manifest describes (HTML, cut JSON, wrong shape).
    NotTheAnswer = "CON003", Nobody;
    /// The answer is larger than the limit.
    AnswerTooLarge = "CON004", Admin;
    /// The credential is not accepted.
    CredentialRefused = "CON005", Admin;
    /// The credential may not do this.
    NotAllowed = "CON006", Admin;
    /// Reading does not advance: the same page or cursor came twice.
    NoProgress = "CON007", Vendor;
    /// The tool's budget is used up.
    QuotaUsed = "CON008", Nobody;
    /// The tool has more rows than it will list, and the window cannot be split further.
    CeilingMet = "CON009", Vendor;
    /// The tool asked to be called more slowly.
    TooFast = "CON010", Nobody;
    /// The tool failed again and again and is left alone for a while.
    LeftAlone = "CON011", Nobody;
    /// A stream is read below more objects of the tool than a cursor has room for.
    TooManyLists = "CON012", Admin;
    /// Nobody has agreed that Nivel may use the tool, or the grant is refused.
    NotSignedIn = "AUT001", Admin;
    /// A stored token cannot be opened.
    TokenSealed = "AUT002", Admin;
    /// The key for tokens is missing or is none.
    TokenKey = "AUT003", Admin;
    /// A customer has more records than one person can have.
    CustomerTooLarge = "IDN001", Admin;
    /// A record could not be mapped to canonical fields.
    RecordUnmappable = "REC001", Team;
    /// A record changes back and forth and was frozen.
    RecordLoops = "REC002", Admin;
    /// The tool said that a field was written and did not keep it.
    FieldNotKept = "REC003", Admin;
    /// The tool does not accept the record.
    WriteRefused = "OUT001", Team;
    /// The answer to a write does not mention it.
    WriteUnanswered = "OUT002", Nobody;
    /// A write was tried too often.
    WriteExhausted = "OUT003", Admin;
    /// The object to write to is gone.
    WriteTargetGone = "OUT004", Team;
    /// The tool refuses for the person's sake.
    WriteCompliance = "OUT005", Team;
    /// The outcome of a create is unknown and must be looked up before it may be repeated.
    CreateUnknown = "OUT006", Nobody;
    /// More is wanted at once than the brake lets through.
    WritesHeld = "OUT007", Admin;
    /// Somebody changed in the tool what was to be written.
    WriteRaced = "OUT009", Nobody;
    /// A value is not in the list that the tool has for the field.
    NotInList = "OUT011", Team;
    /// The setup was never approved.
    NotApproved = "OUT008", Admin;
    /// What was deleted elsewhere came back before the deletion was passed on.
    WriteWithdrawn = "OUT010", Nobody;
    /// Nivel cannot, or may not, erase an object in its tool.
    EraseByHand = "PER001", Admin;
    /// A tool took the request to erase an object and still has it.
    EraseUnconfirmed = "PER002", Admin;
    /// A tool cannot be told that a person took a consent back.
    ConsentUntold = "CNS001", Admin;
    /// What people write about customers would reach marketing, and no line of the config says that it may.
    ShareUnsaid = "CNS002", Admin;
    /// Only people can be erased.
    NotAPerson = "PER003", Admin;
    /// The ledger is in use by another process.
    LedgerLocked = "LED001", Admin;
    /// The ledger's disk is full or failing.
    LedgerFull = "LED002", Admin;
    /// The ledger file was written by a newer Nivel, or is damaged.
    LedgerUnknown = "LED003", Admin;
    /// The cache cannot be used; work goes on without it.
    CacheDown = "CAC001", Nobody;
    /// Redis may drop keys that other programs need.
    CacheEvicts = "CAC002", Admin;
    /// A file drop cannot be read.
    FileUnreadable = "FIL001", Admin;
    /// A row of a dropped file cannot be used.
    FileRow = "FIL002", Team;
    /// A file that was read cannot be moved to the archive.
    FileArchive = "FIL003", Admin;
    /// An SFTP server is not the one it is said to be.
    HostKey = "FIL004", Admin;
    /// An export file cannot be written.
    ExportFailed = "FIL005", Admin;
    /// A connector cannot be drafted.
    DraftRefused = "NEW001", Admin;
    /// A recording would hold something of a real person.
    RecordLeaks = "NEW002", Vendor;
    /// A program that speaks to a tool cannot be started.
    GuestUnstartable = "GST001", Admin;
    /// A program that speaks to a tool ended badly, or says that it failed.
    GuestFailed = "GST002", Admin;
    /// A program said something that is not in its language.
    GuestSpeech = "GST003", Admin;
    /// A program took too long and was killed.
    GuestSlow = "GST004", Admin;
    /// A program does not have the stream that is to be read.
    GuestStream = "GST005", Admin;
    /// Settings that a program changed by itself cannot be kept.
    GuestSettings = "GST006", Admin;
    /// The database has no such table or column.
    SqlNoSuchName = "SQL001", Admin;
    /// The database does not take a statement.
    SqlStatement = "SQL002", Admin;
    /// The key column does not tell rows apart.
    SqlKey = "SQL003", Admin;
    /// A run was due and did not start.
    RunLate = "SCH001", Admin;
    /// A full sweep misses more than the brake lets through.
    SweepHeld = "SCH002", Admin;
    /// A mapped field is in none of the tool's objects any more.
    FieldVanished = "SCH003", Admin;
    /// A webhook that used to come does not come any more.
    WebhookSilent = "HOK001", Admin;
    /// An event could not be told to a hook of the admin.
    HookUndelivered = "HOK002", Admin;
    /// A handoff leads nowhere.
    HandoffRule = "HND001", Admin;
    /// An alert could not be delivered.
    AlertUndelivered = "ALR001", Admin;
    /// The port for HTTP cannot be opened.
    PortTaken = "NET001", Admin;
    /// Nothing with that name.
    NotFound = "CLI001", Admin;
    /// An invariant of Nivel itself does not hold.
    Bug = "BUG001", Nivel;
}

impl Code {
    /// The code of that text, in any case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom(format!("no error code `{text}`")))
    }
}
