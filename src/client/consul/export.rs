//! Reading keys with their values for somebody who does not keep them here yet: an import.

use super::Server;
use super::rights::Resource;
use crate::domain::resource::Flags;
use crate::port::EdgeError;

/// One key of a Consul, as it is.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The key; where it is no UTF-8, Consul's answer has U+FFFD in it.
    pub key: String,
    /// Its value.
    pub value: Vec<u8>,
    /// Its flags.
    pub flags: Flags,
    /// Whether a session holds it.
    pub locked: bool,
}

impl Server {
    /// Every key that begins with the prefix, one after the other, as they are at one moment; a prefix without keys gives none.
    ///
    /// # Errors
    /// When Consul does not answer, or denies it.
    pub async fn export(&self, prefix: &str, each: &mut (dyn FnMut(Exported) + Send)) -> Result<(), EdgeError> {
        let doing = format!("read the keys below {prefix:?}");
        let mut give = |read: super::kv::Read| {
            let super::kv::Read { key, value, flags, locked, .. } = read;
            each(Exported { key, value, flags: Flags(flags), locked });
        };
        self.http.read_tree(prefix, &doing, &mut give).await.map(drop)
    }

    /// Whether the token may not surely read everything that begins with the prefix: Consul leaves out what it may not read and
    /// says nothing of it.
    ///
    /// # Errors
    /// When Consul does not answer.
    pub async fn may_hide_below(&self, prefix: &str) -> Result<bool, EdgeError> {
        let allowed = self.http.allowed(&[Resource::everything_below(prefix)]).await?;
        Ok(allowed.is_some_and(|allowed| allowed.contains(&false)))
    }

    /// Its address and datacenter, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        self.http.name()
    }
}
