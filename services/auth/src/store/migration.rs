//! The tables of the auth service. Append only: a migration that has shipped never changes.

use sea_orm_migration::prelude::{
    ColumnDef, DbErr, DeriveIden, Index, IndexCreateStatement, MigrationName, MigrationTrait, MigratorTrait,
    SchemaManager, Table, TableCreateStatement,
};

/// All migrations, oldest first.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(First)]
    }
}

#[derive(DeriveIden)]
enum Tenant {
    Table,
    Id,
    DisplayName,
    CreateTime,
}

#[derive(DeriveIden)]
enum FirstStart {
    Table,
    Id,
    Tenant,
}

#[derive(DeriveIden)]
enum ApiKey {
    Table,
    Id,
    Tenant,
    DisplayName,
    Prefix,
    Hash,
    Scopes,
    CreateTime,
    ExpireTime,
    RevokeTime,
}

#[derive(DeriveIden)]
enum SigningKey {
    Table,
    Kid,
    Sealed,
    Public,
    CreateTime,
    RetireTime,
}

struct First;

impl MigrationName for First {
    fn name(&self) -> &'static str {
        "m0001_tenants_and_keys"
    }
}

#[async_trait::async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature is written so")]
impl MigrationTrait for First {
    async fn up(&self, schema: &SchemaManager) -> Result<(), DbErr> {
        for table in [tenant(), first_start(), api_key(), signing_key()] {
            schema.create_table(table).await?;
        }
        schema.create_index(keys_of_tenant()).await
    }
}

fn tenant() -> TableCreateStatement {
    Table::create()
        .table(Tenant::Table)
        .col(ColumnDef::new(Tenant::Id).uuid().not_null().primary_key())
        .col(ColumnDef::new(Tenant::DisplayName).text().not_null())
        .col(ColumnDef::new(Tenant::CreateTime).timestamp_with_time_zone().not_null())
        .take()
}

fn first_start() -> TableCreateStatement {
    Table::create()
        .table(FirstStart::Table)
        .col(ColumnDef::new(FirstStart::Id).integer().not_null().primary_key())
        .col(ColumnDef::new(FirstStart::Tenant).uuid().not_null())
        .take()
}

fn api_key() -> TableCreateStatement {
    Table::create()
        .table(ApiKey::Table)
        .col(ColumnDef::new(ApiKey::Id).uuid().not_null().primary_key())
        .col(ColumnDef::new(ApiKey::Tenant).uuid().not_null())
        .col(ColumnDef::new(ApiKey::DisplayName).text().not_null())
        .col(ColumnDef::new(ApiKey::Prefix).text().not_null())
        .col(ColumnDef::new(ApiKey::Hash).binary().not_null().unique_key())
        .col(ColumnDef::new(ApiKey::Scopes).text().not_null())
        .col(ColumnDef::new(ApiKey::CreateTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(ApiKey::ExpireTime).timestamp_with_time_zone())
        .col(ColumnDef::new(ApiKey::RevokeTime).timestamp_with_time_zone())
        .take()
}

fn signing_key() -> TableCreateStatement {
    Table::create()
        .table(SigningKey::Table)
        .col(ColumnDef::new(SigningKey::Kid).text().not_null().primary_key())
        .col(ColumnDef::new(SigningKey::Sealed).binary().not_null())
        .col(ColumnDef::new(SigningKey::Public).text().not_null())
        .col(ColumnDef::new(SigningKey::CreateTime).timestamp_with_time_zone().not_null())
        .col(ColumnDef::new(SigningKey::RetireTime).timestamp_with_time_zone())
        .take()
}

/// For the list of a tenant's keys, by id: ids are in order of creation.
fn keys_of_tenant() -> IndexCreateStatement {
    Index::create().name("api_key_by_tenant").table(ApiKey::Table).col(ApiKey::Tenant).col(ApiKey::Id).take()
}
