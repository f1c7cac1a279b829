"""The cloud as a dry run sees it: real answers with the effects of earlier lines."""
