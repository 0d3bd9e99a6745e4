//! Kind `mutations`: changes to other files, each of which must be refused.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::check;
use super::file::{FORMAT, Fault, File, parse};
use super::folder::Folder;

pub(super) const KIND: &str = "mutations";

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mutation {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) case: String,
    pub(super) at: String,
    pub(super) how: How,
    pub(super) with: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    Flip,
    Truncate,
    Extend,
    Swap,
    Set,
    Remove,
}

/// Makes every change of the file to the others of its folder, sees each refused, and gives their
/// number.
pub(super) fn check_mutations(text: &str, folder: &Folder) -> Result<usize, Fault> {
    let file: File<Mutation> = parse(text)?;
    if file.format != FORMAT || file.kind != KIND {
        return Err("another format or kind".to_owned());
    }
    let mut faults = Vec::new();
    for mutation in &file.cases {
        match mutation.applied(folder) {
            Err(fault) => faults.push(format!("{:?} cannot be made: {fault}", mutation.name)),
            Ok(text) if check(&text).is_ok() => {
                faults.push(format!("{:?} is not noticed", mutation.name));
            }
            Ok(_) => {}
        }
    }
    if faults.is_empty() { Ok(file.cases.len()) } else { Err(faults.join("\n")) }
}

impl Mutation {
    /// The file with the changed case alone.
    pub(super) fn applied(&self, folder: &Folder) -> Result<String, Fault> {
        let text = folder.get(&self.file).ok_or("no such file")?;
        let mut file: File<Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        file.cases.retain(|case| case.get("name").is_some_and(|name| *name == self.case));
        let [case] = file.cases.as_mut_slice() else {
            return Err("no such case, or several".to_owned());
        };
        let before = case.clone();
        self.change(case)?;
        if *case == before {
            return Err("nothing changes".to_owned());
        }
        serde_json::to_string(&file).map_err(|error| error.to_string())
    }

    fn change(&self, case: &mut Value) -> Result<(), Fault> {
        let missing = || format!("nothing stands at {}", self.at);
        let at = case.pointer_mut(&self.at).ok_or_else(missing)?;
        match self.how {
            How::Set => *at = self.with.clone(),
            How::Swap => {
                let other = self.with.as_str().ok_or("no pointer")?;
                let mine = at.clone();
                let other = case.pointer_mut(other).ok_or("nothing to swap with")?;
                let theirs = std::mem::replace(other, mine);
                *case.pointer_mut(&self.at).ok_or_else(missing)? = theirs;
            }
            How::Remove => self.remove(case)?,
            How::Flip | How::Truncate | How::Extend => {
                let bytes = at.as_str().and_then(|text| hex::decode(text).ok());
                let mut bytes = bytes.ok_or("no bytes")?;
                self.change_bytes(&mut bytes)?;
                *at = json!(hex::encode(bytes));
            }
        }
        Ok(())
    }

    fn change_bytes(&self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let number = self.with.as_u64().and_then(|number| usize::try_from(number).ok());
        match (self.how, number, self.with.as_str()) {
            (How::Flip, Some(bit), _) => {
                *bytes.get_mut(bit / 8).ok_or("no such bit")? ^= 0x80 >> (bit % 8);
            }
            (How::Truncate, Some(less), _) => {
                bytes.truncate(bytes.len().checked_sub(less).ok_or("too few bytes")?);
            }
            (How::Extend, _, Some(more)) => {
                bytes.extend(hex::decode(more).map_err(|error| error.to_string())?);
            }
            _ => return Err("`with` does not fit `how`".to_owned()),
        }
        Ok(())
    }

    fn remove(&self, case: &mut Value) -> Result<(), Fault> {
        let (parent, name) = self.at.rsplit_once('/').ok_or("the case itself")?;
        match case.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.remove(name).map(|_| ()).ok_or("no such field")?
            }
            Some(Value::Array(items)) => {
                let place = name.parse::<usize>().ok().filter(|place| *place < items.len());
                items.remove(place.ok_or("no such item")?);
            }
            _ => return Err("nothing holds it".to_owned()),
        }
        Ok(())
    }
}
