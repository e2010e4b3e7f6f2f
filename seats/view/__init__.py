"""Pictures of what a method did to a clip's tokens: a page, a paper figure, a clip with the mask burnt in."""
