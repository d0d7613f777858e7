//! Domains, addresses, accounts.

use std::collections::BTreeSet;

use redoubt_log::id::{AccountId, NodeId};
use redoubt_log::record::{AccountState, Rejection};

use super::{Checked, Checker};
use crate::keys::{DIRECTORY, Key, Meta, Parts};
use crate::rows::{
    AccountClassRow, AccountRow, AddressRow, CaptureRow, CapturedRow, ClassRow, CredentialRow,
    DomainRow, EmailRow, EraseReportRow, ErasureRow, FloorRow, GrantRow, HeadKeyRow, NodeRow,
    PersonalTokenRow, TokenRow, Usage,
};
use crate::storage::{KeyRange, Table};

impl Checker<'_> {
    pub(super) fn directory(&mut self) -> Checked {
        self.domains()?;
        self.addresses()?;
        self.nodes()?;
        self.classes()?;
        self.roles()?;
        self.captures()?;
        self.accounts()
    }

    fn domains(&mut self) -> Checked {
        let name = |mut parts: Parts<'_>| parts.u8().and(parts.text()).map(str::to_owned);
        self.rows(Table::Directory, &KeyRange::prefix(b"d"), name, |c, name, row: DomainRow| {
            let Some(account) = row.settings.catch_all else { return Ok(()) };
            let there = c.has(&Key::Account(account))?;
            c.expect(
                there,
                "domain",
                name,
                format!("its catch-all account {account} is not there"),
            );
            Ok(())
        })
    }

    /// Each id was given before the next one, and every used token names a node.
    fn nodes(&mut self) -> Checked {
        let next: u64 = self.get(&Key::Meta(Meta::NextNode))?.unwrap_or(2);
        let id = |mut parts: Parts<'_>| parts.u8().and(parts.u64()).map(NodeId);
        self.rows(Table::Directory, &crate::keys::nodes(), id, |c, node, _: NodeRow| {
            c.expect(node.0 < next, "node", node, format!("the next node is {next}"));
            Ok(())
        })?;
        self.head_keys(next)?;
        let range = crate::keys::tokens();
        self.rows(
            Table::Directory,
            &range,
            |_| Some(()),
            |c, (), row: TokenRow| {
                let Some(node) = row.node else { return Ok(()) };
                let there = c.has(&Key::Node(node))?;
                c.expect(there, "node", node, "a token was used for it, and it is not there");
                Ok(())
            },
        )
    }

    /// Each id was given before the next one, and no two are called alike.
    fn classes(&mut self) -> Checked {
        let next: u64 = self.get(&Key::Meta(Meta::NextClass))?.unwrap_or(1);
        let mut names = BTreeSet::new();
        let id = |mut parts: Parts<'_>| parts.u8().and(parts.u64());
        let range = crate::keys::classes().range();
        self.rows(Table::Directory, &range, id, |c, id, row: ClassRow| {
            c.expect(id < next, "class", id, format!("the next class is {next}"));
            let new = names.insert(row.name.clone());
            c.expect(new, "class", id, format!("another one is called {} too", row.name));
            Ok(())
        })
    }

    /// Each id was given before the next one, and each rule names an archive account.
    fn captures(&mut self) -> Checked {
        let next: u64 = self.get(&Key::Meta(Meta::NextCapture))?.unwrap_or(1);
        let id = |mut parts: Parts<'_>| parts.u8().and(parts.u64());
        let range = crate::keys::captures().range();
        self.rows(Table::Directory, &range, id, |c, id, row: CaptureRow| {
            c.expect(id < next, "capture", id, format!("the next rule is {next}"));
            let account: Option<AccountRow> = c.get(&Key::Account(row.rule.archive))?;
            let archive = account.is_some_and(|a| a.settings.state == AccountState::Archive);
            let what = format!("account {} is no archive", row.rule.archive);
            c.expect(archive, "capture", id, what);
            Ok(())
        })?;
        let range = crate::keys::captured_domains().range();
        let name = |mut parts: Parts<'_>| parts.u8().and(parts.text()).map(str::to_owned);
        self.rows(Table::Directory, &range, name, |c, name, _: CapturedRow| {
            let there = c.has(&Key::Domain(&name))?;
            c.expect(there, "captured", name, "there is no such domain");
            Ok(())
        })
    }

    /// Who has a role, or a token, is an account; and a role that somebody has was given.
    fn roles(&mut self) -> Checked {
        let given: u64 = self.get(&Key::Meta(Meta::RolesGiven))?.unwrap_or(0);
        let grant = |mut parts: Parts<'_>| parts.u8().and(parts.account().zip(parts.u8()));
        let range = crate::keys::grants().range();
        self.rows(Table::Directory, &range, grant, |c, (account, role), _: GrantRow| {
            let there = c.has(&Key::Account(account))?;
            c.expect(there, "role", account, "there is no such account");
            let known = role < 64 && given & (1 << role) != 0;
            c.expect(known, "role", account, format!("role {role} counts as never given"));
            Ok(())
        })?;
        let range = crate::keys::personal_tokens().range();
        let any = |_: Parts<'_>| Some(());
        self.rows(Table::Directory, &range, any, |c, (), row: PersonalTokenRow| {
            let there = c.has(&Key::Account(row.account))?;
            c.expect(there, "token", row.account, "there is no such account");
            Ok(())
        })
    }

    fn head_keys(&mut self, next: u64) -> Checked {
        let key = |mut parts: Parts<'_>| parts.u8().and(parts.blob());
        self.rows(Table::Directory, &crate::keys::head_keys(), key, |c, key, row: HeadKeyRow| {
            let what = format!("it is of node {}, the next node is {next}", row.node);
            c.expect(row.node.0 < next, "head-key", key, what);
            Ok(())
        })
    }

    fn addresses(&mut self) -> Checked {
        let address = |mut parts: Parts<'_>| parts.u8().and_then(|_| parts.address());
        let range = KeyRange::prefix(b"n");
        self.rows(Table::Directory, &range, address, |c, address, row: AddressRow| {
            let known = c.has(&Key::Domain(&address.domain))?;
            c.expect(known, "address", &address, "its domain is not there");
            let account: Option<AccountRow> = c.get(&Key::Account(row.account))?;
            let there = |row: &AccountRow| row.settings.state != AccountState::Deleted;
            let own = account.filter(there).is_some_and(|account| account.address == address);
            let listed = c.has(&Key::Alias(row.account, &address))?;
            let what = format!("account {} does not know it", row.account);
            c.expect(own != row.alias && listed == row.alias, "address", &address, what);
            Ok(())
        })
    }

    fn accounts(&mut self) -> Checked {
        let next: u64 = self.get(&Key::Meta(Meta::NextAccount))?.unwrap_or(1);
        self.raw_rows(Table::Account, &KeyRange::all(), |c, key, value| {
            let mut parts = Parts::new(key);
            let (Some(id), Some(kind)) = (parts.account(), parts.u8()) else {
                c.unreadable(Table::Account, key, "the key cannot be read");
                return Ok(());
            };
            c.expect(id.0 < next, "account", id, format!("the next account is {next}"));
            match kind {
                b'a' => c.account(id, key, value),
                b'u' => c.usage(id, key, value),
                b'c' => c.row_reads::<CredentialRow>(key, value),
                b'f' => c.row_reads::<FloorRow>(key, value),
                b'l' => c.row_reads::<AccountClassRow>(key, value),
                b's' => c.row_reads::<CapturedRow>(key, value),
                b'h' | b'o' | b'J' => Ok(()),
                b'y' | b'd' | b'w' | b'v' | b'q' | b'n' | b'p' if id == DIRECTORY => {
                    c.policy_row(kind, key, value)
                }
                b'E' if id == DIRECTORY => c.row_reads::<ErasureRow>(key, value),
                b'E' => c.erased(id, key, value, parts),
                b'K' => c.row_reads::<Rejection>(key, value),
                b'B' => c.row_reads::<()>(key, value),
                b'N' => c.row_reads::<EraseReportRow>(key, value),
                b'i' => {
                    c.row_reads::<()>(key, value)?;
                    c.alias(id, key, parts)
                }
                _ => {
                    c.unreadable(Table::Account, key, "no such kind of row");
                    Ok(())
                }
            }
        })
    }

    pub(super) fn row_reads<T: serde::de::DeserializeOwned>(
        &mut self,
        key: &[u8],
        value: &[u8],
    ) -> Checked {
        if let Err(error) = crate::storage::decode::<T>(Table::Account, key, value) {
            self.unreadable(Table::Account, key, error);
        }
        Ok(())
    }

    fn account(&mut self, id: AccountId, key: &[u8], value: &[u8]) -> Checked {
        let Ok(row) = crate::storage::decode::<AccountRow>(Table::Account, key, value) else {
            return self.row_reads::<AccountRow>(key, value);
        };
        let address: Option<AddressRow> = self.get(&Key::Address(&row.address))?;
        let deleted = row.settings.state == AccountState::Deleted;
        let own = deleted || address == Some(AddressRow { account: id, alias: false });
        self.expect(own, "account", id, format!("{} is not its address", row.address));
        let usage = self.has(&Key::Usage(id))?;
        self.expect(usage, "usage", id, "the account has no row of its usage");
        Ok(())
    }

    /// Quota equals the sum of what is there.
    fn usage(&mut self, id: AccountId, key: &[u8], value: &[u8]) -> Checked {
        let Ok(kept) = crate::storage::decode::<Usage>(Table::Account, key, value) else {
            return self.row_reads::<Usage>(key, value);
        };
        let there = self.has(&Key::Account(id))?;
        self.expect(there, "usage", id, "there is no such account");
        let mut sum = Usage::default();
        let range = crate::keys::Bytes::account(id).range();
        self.rows(
            Table::Email,
            &range,
            |mut parts| parts.account(),
            |_, _, row: EmailRow| {
                sum.bytes = sum.bytes.saturating_add(row.data.size);
                sum.emails += 1;
                Ok(())
            },
        )?;
        self.expect(sum == kept, "usage", id, format!("{kept:?} is kept, {sum:?} is there"));
        Ok(())
    }

    fn alias(&mut self, id: AccountId, key: &[u8], mut parts: Parts<'_>) -> Checked {
        let Some(alias) = parts.address() else {
            self.unreadable(Table::Account, key, "the key cannot be read");
            return Ok(());
        };
        let row: Option<AddressRow> = self.get(&Key::Address(&alias))?;
        let owner: Option<AccountRow> = self.get(&Key::Account(id))?;
        let deleted = owner.is_some_and(|o| o.settings.state == AccountState::Deleted);
        let right = deleted || row == Some(AddressRow { account: id, alias: true });
        self.expect(right, "alias", &alias, format!("the directory does not know it for {id}"));
        Ok(())
    }
}
