//! The audit log: every row is of the class and number that its key says, and
//! as many are there as were written and not removed since.

use super::Check;
use crate::audit::{Class, Entry};
use crate::store::{Key, StoreError, Table, audit, event};

impl Check<'_> {
    pub(super) fn audit(&mut self) -> Result<(), StoreError> {
        let (last, last_event) = (audit::last(self.read)?, event::last(self.read)?);
        let mut found = [0_u64; Class::ALL.len()];
        self.each::<Entry>(Table::Audit, |check, key, entry| {
            // An act may be of two classes; the key says of which it is.
            let is_own = key.first() == Some(&Class::Own.number()) && entry.action.may_be_of(Class::Own);
            let class = if is_own { Class::Own } else { entry.action.class() };
            found[usize::from(class.number())] += 1;
            let belongs = Key::new().byte(class.number()).number(entry.number);
            if key != belongs.bytes() || entry.number > last {
                check.report.find("audit row out of place", format!("row {} at {}", entry.number, hex::encode(key)));
            }
            if entry.event.is_some_and(|seq| seq > last_event) {
                check.report.find("audit row without its event", format!("row {}", entry.number));
            }
            Ok(())
        })?;
        for class in Class::ALL {
            let (kept, found) = (audit::kept(self.read, class)?, found[usize::from(class.number())]);
            if kept != found {
                let class = class.as_str();
                self.report
                    .find("audit rows missing", format!("class {class}: {found} are there, {kept} were written"));
            }
        }
        Ok(())
    }
}
