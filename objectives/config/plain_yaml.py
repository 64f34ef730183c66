"""YAML without aliases, through which a small text grows without bound: for the loaders of all our files."""

import yaml


class WithoutAliases(yaml.parser.Parser, yaml.composer.Composer):
    """A part of a loader, before PyYAML's own."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node.

        Raises:
            ComposerError: It is an alias.
        """
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "an alias, which this file may not have", event.start_mark
            )
        return super().compose_node(parent, index)
