//! Sixty cases that look alike and are not, or look different and are the same: what is wanted, and why.

use std::fmt::Write as _;

use super::{Features, Field, Matcher, Weights};

/// `Same`: one customer at default weights. `Apart`: two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Same,
    Apart,
}
use Wanted::{Apart, Same};

/// What is wanted, why, and the two records: `g` given name, `f` family name, `n` whole name, `e` mailbox, `p` phone,
/// `c` company, `a` address, `z` postcode, `t` town, `b` birth, `i` id, `x` sex.
type Case = (Wanted, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    (Same, "the same in every field", "g=Anna|f=Quonetom|e=anna@quonetom.de", "g=Anna|f=Quonetom|e=anna@quonetom.de"),
    (Same, "case and spaces", "g=ANNA|f=QUONETOM|e=Anna.Quonetom@GMX.de", "g=anna|f= quonetom |e=anna.quonetom@gmx.de"),
    (Same, "a tag in the mailbox", "g=Anna|f=Quonetom|e=anna.quonetom+shop@gmail.com", "g=Anna|f=Quonetom|e=annaquonetom@googlemail.com"),
    (Same, "umlaut and its transliteration", "g=Jürgen|f=Müller|e=j.mueller77@web.de", "g=Juergen|f=Mueller|e=j.mueller77@web.de"),
    (Same, "umlaut left off", "g=Jürgen|f=Schröder|p=+49 151 2345678|t=Kiel", "g=Jurgen|f=Schroder|p=0151 2345678|t=Kiel"),
    (Same, "Scandinavian letters", "g=Søren|f=Jørgensen|e=soren.jorgensen@gmail.com", "g=Soren|f=Jorgensen|e=soren.jorgensen@gmail.com"),
    (Same, "Polish letters", "g=Łukasz|f=Wójcik|p=+48 601 234 567", "g=Lukasz|f=Wojcik|p=0048601234567"),
    (Same, "apostrophe", "g=Sean|f=O'Brien|e=sean.obrien@outlook.com", "g=Sean|f=OBrien|e=sean.obrien@outlook.com"),
    (Same, "nickname with one mailbox", "g=William|f=Barstad|e=w.barstad@aol.com", "g=Bill|f=Barstad|e=w.barstad@aol.com"),
    (Same, "nickname with one number", "g=Elizabeth|f=Feningham|p=+44 7700 918273", "g=Liz|f=Feningham|p=07700 918273"),
    (Same, "two short forms of one name", "g=Bob|f=Kelbersen|p=+44 7700 223456", "g=Rob|f=Kelbersen|p=+44 7700 223456"),
    (Same, "initial and mailbox", "g=J.|f=Halorwell|e=james.halorwell@gmail.com", "g=James|f=Halorwell|e=james.halorwell@gmail.com"),
    (Same, "title and degree", "g=Dr. Anna|f=Quonetom|e=a.quonetom@gmx.de", "g=Anna|f=Quonetom, PhD|e=a.quonetom@gmx.de"),
    (Same, "swapped name fields", "g=Quonetom|f=Anna|e=anna.quonetom@gmx.de", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de"),
    (Same, "swapped name fields, one number", "g=Belortsen|f=Mark|p=+61 412 345 678", "g=Mark|f=Belortsen|p=0412 345 678"),
    (Same, "whole name in one field", "n=Quonetom, Anna|e=anna.quonetom@gmx.de", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de"),
    (Same, "typing error in the family name", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de", "g=Anna|f=Quonetmo|e=anna.quonetom@gmx.de"),
    (Same, "typing error in the given name", "g=Catherine|f=Rosinworth|p=+44 7700 323456", "g=Cathrine|f=Rosinworth|p=+44 7700 323456"),
    (Same, "typing error in the mailbox", "g=Anna|f=Quonetom|e=anna.quonetom@gmail.com", "g=Anna|f=Quonetom|e=ana.quonetom@gmail.com"),
    (Same, "typing error in the provider", "g=Anna|f=Quonetom|e=anna.quonetom@gmail.com", "g=Anna|f=Quonetom|e=anna.quonetom@gmial.com"),
    (Same, "maiden name, mailbox kept", "g=Teresa|f=Quonetom|e=teresa.quonetom@gmx.de|p=+49 151 7654321", "g=Teresa|f=Barstad|e=teresa.quonetom@gmx.de|p=+49 151 7654321"),
    (Same, "moved house, number kept", "g=Anna|f=Quonetom|p=+44 7700 423456|a=12 High Street|z=AB1 2CD", "g=Anna|f=Quonetom|p=+44 7700 423456|a=7 Mill Lane|z=XY9 8ZA"),
    (Same, "new mailbox, same home", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de|a=12 High Street|z=AB1 2CD", "g=Anna|f=Quonetom|e=anna77@web.de|a=12 High St|z=AB12CD"),
    (Same, "left the company, private number kept", "g=Anna|f=Quonetom|c=Acme Ltd|e=anna.quonetom@acme.co.uk|p=+44 7700 523456", "g=Anna|f=Quonetom|c=Bolt GmbH|e=aq@bolt.de|p=+44 7700 523456"),
    (Same, "mailbox of the firm, name of the firm", "g=Anna|f=Quonetom|c=Emilyhub Pty Ltd|p=+61 412 555 777", "g=Anna|f=Quonetom|e=aquonetom@emilyhub.com.au"),
    (Same, "legal form left off", "g=Anna|f=Quonetom|c=Barstad Logistics GmbH|t=Kiel", "g=Anna|f=Quonetom|c=Barstad Logistics|t=Kiel"),
    (Same, "family name missing, own mailbox", "g=Anna|e=anna.quonetom@gmx.de", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de"),
    (Same, "given name missing, own mailbox", "f=Quonetom|e=anna.quonetom@gmx.de", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de"),
    (Same, "no name but the mailbox says it", "e=anna.quonetom@gmx.de", "g=Anna|f=Quonetom|e=anna.quonetom@gmx.de"),
    (Same, "compound given name", "g=Anna-Lena|f=Quonetom|e=al.quonetom@gmx.de", "g=Anna|f=Quonetom|e=al.quonetom@gmx.de"),
    (Same, "compound family name", "g=Carmen|f=Garcia Lopez|p=+34 612 908 173", "g=Carmen|f=Garcia|p=612 908 173"),
    (Same, "particle apart", "g=Jan|f=van der Berg|e=jan@vdberg.nl", "g=Jan|f=van den Berg|e=jan@vdberg.nl"),
    (Same, "number in national and international form", "g=Anna|f=Quonetom|p=+49 (0)30 90182000", "g=Anna|f=Quonetom|p=030 90182000"),
    (Same, "register: day and month swapped", "g=Anna|f=Quonetom|b=1971-06-05|z=12345", "g=Anna|f=Quonetom|b=1971-05-06|z=12345"),
    (Same, "register: a digit of the number wrong", "g=Anna|f=Quonetom|b=1971-06-24|i=5281664|a=1 Mill Lane", "g=Anna|f=Quonetom|b=1971-06-24|i=5281646|a=1 Mill Lane"),
    (Same, "Cyrillic names", "g=Анна|f=Иванова|e=a.ivanova@yandex.com", "g=анна|f=ИВАНОВА|e=a.ivanova@yandex.com"),
    (Apart, "father and son with one mailbox", "g=Thomas|f=Quonetom|e=family@quonetom.de|b=1950-01-17", "g=Felix|f=Quonetom|e=family@quonetom.de|b=1982-11-03"),
    (Apart, "couple with one landline", "g=Anna|f=Quonetom|p=+49 431 1234567|a=1 Mill Lane", "g=Peter|f=Quonetom|p=+49 431 1234567|a=1 Mill Lane"),
    (Apart, "couple with one mailbox", "g=Anna|f=Quonetom|e=quonetom@gmx.de", "g=Peter|f=Quonetom|e=quonetom@gmx.de"),
    (Apart, "she buys with his mailbox", "g=Anna|f=Quonetom|e=peter.quonetom@gmx.de", "g=Peter|f=Quonetom|e=peter.quonetom@gmx.de"),
    (Apart, "father and son of one name", "g=John|f=Quonetom Sr.|a=1 Mill Lane|z=12345|b=1950-02-03", "g=John|f=Quonetom Jr.|a=1 Mill Lane|z=12345|b=1979-08-14"),
    (Apart, "twins", "g=Hanna|f=Quonetom|b=1991-03-04|a=1 Mill Lane|z=12345", "g=Peter|f=Quonetom|b=1991-03-04|a=1 Mill Lane|z=12345"),
    (Apart, "colleagues behind one switchboard", "g=Anna|f=Quonetom|p=+44 20 7946 0111|c=Acme Ltd", "g=Peter|f=Barstad|p=+44 20 7946 0111|c=Acme Ltd"),
    (Apart, "colleagues with one address", "g=Anna|f=Quonetom|c=Acme Ltd|a=5 Dock Road|z=AB1 2CD", "g=Maria|f=Belortsen|c=Acme Ltd|a=5 Dock Road|z=AB1 2CD"),
    (Apart, "one role mailbox, two people", "g=Anna|f=Quonetom|e=info@acme.co.uk", "g=Peter|f=Barstad|e=info@acme.co.uk"),
    (Apart, "one role mailbox, one given name", "g=Anna|f=Quonetom|e=sales@acme.co.uk", "g=Anna|f=Belortsen|e=sales@acme.co.uk"),
    (Apart, "numbered mailboxes", "g=John|f=Smith|e=john.smith1@gmail.com", "g=John|f=Smith|e=john.smith72@gmail.com"),
    (Apart, "brothers with like mailboxes", "g=Paul|f=Quonetom|e=p.quonetom@gmx.de", "g=Karl|f=Quonetom|e=k.quonetom@gmx.de"),
    (Apart, "a number given to somebody else", "g=Anna|f=Quonetom|p=+44 7700 623456", "g=Rajesh|f=Kumar|p=+44 7700 623456"),
    (Apart, "neighbours", "g=Anna|f=Quonetom|a=12 High Street|z=AB1 2CD", "g=Rajesh|f=Kumar|a=14 High Street|z=AB1 2CD"),
    (Apart, "stand-in mailbox", "g=Anna|f=Quonetom|e=test@test.com", "g=Peter|f=Barstad|e=test@test.com"),
    (Apart, "stand-in number", "g=Anna|f=Quonetom|p=0000000000", "g=Peter|f=Barstad|p=0000000000"),
    (Apart, "stand-in name", "g=Unknown|f=Unknown|t=Kiel", "g=Unknown|f=Unknown|t=Kiel"),
    (Apart, "test records", "g=Test|f=Test|e=noreply@acme.com", "g=Test|f=Test|e=noreply@acme.com"),
    (Apart, "nothing but a given name", "g=Anna", "g=Anna"),
    (Apart, "register: two people of one name", "g=Anna|f=Smith|b=1971-06-24|i=5281664", "g=Anna|f=Smith|b=1938-02-11|i=9917201"),
    (Apart, "register: same birthday, other name", "g=Anna|f=Quonetom|b=1971-06-24|t=Kiel", "g=Rajesh|f=Kumar|b=1971-06-24|t=Kiel"),
    (Apart, "register: the number of the spouse", "g=Anna|f=Quonetom|i=5281664|b=1971-06-24|a=1 Mill Lane", "g=Peter|f=Quonetom|i=5281664|b=1968-09-01|a=1 Mill Lane"),
    (Apart, "one firm's mailbox domain", "g=Anna|f=Quonetom|e=anna@acme.co.uk", "g=Peter|f=Barstad|e=peter@acme.co.uk"),
    (Apart, "colleagues of one given name", "g=Anna|f=Quonetom|e=anna.quonetom@acme.co.uk|c=Acme Ltd", "g=Anna|f=Belortsen|e=anna.belortsen@acme.co.uk|c=Acme Ltd"),
];

fn features(text: &str) -> Features {
    let cell = |cell: &'static str| -> (Field, &'static str) {
        let (letter, text) = cell.split_once('=').unwrap();
        let field = match letter {
            "g" => Field::Given,
            "f" => Field::Family,
            "n" => Field::Full,
            "e" => Field::Email,
            "p" => Field::Phone,
            "c" => Field::Company,
            "a" => Field::Address,
            "z" => Field::Postcode,
            "t" => Field::City,
            "b" => Field::Birth,
            "i" => Field::Id,
            _ => panic!("{letter}"),
        };
        (field, text)
    };
    let text: &'static str = text.to_owned().leak();
    let fields: Vec<(Field, &str)> = text.split('|').map(cell).collect();
    Features::new(&fields, super::UNKNOWN_SOURCE, false)
}

#[test]
fn sixty_hard_cases() {
    assert_eq!(CASES.len(), 60);
    // Other people of common names, so that counts are those of a small company's tools.
    let crowd = super::generate::generate(super::generate::Family::Contacts, 3000, 77);
    let mut matcher = Matcher::new(Weights::shipped());
    for made in &crowd {
        let fields: Vec<(Field, &str)> = made
            .fields
            .iter()
            .map(|(field, text)| (*field, text.as_str()))
            .collect();
        matcher.insert(&made.id, Features::new(&fields, super::UNKNOWN_SOURCE, false));
    }
    let mut wrong = String::new();
    for (wanted, reason, a, b) in CASES {
        let (left, right) = (
            matcher.insert("left", features(a)),
            matcher.insert("right", features(b)),
        );
        while !matcher.settle(10_000) {}
        let found = if matcher.group(left).contains(&right) {
            Same
        } else {
            Apart
        };
        if found != *wanted {
            let why = matcher.explain(left, right).unwrap();
            writeln!(
                wrong,
                "wanted {wanted:?}, found {found:?}: {reason}: {:+.1} {:?}",
                why.bits, why.findings
            )
            .unwrap();
        }
        matcher.remove("left");
        matcher.remove("right");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
