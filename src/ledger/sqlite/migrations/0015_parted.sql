-- Records of customers that parted, until the tools have back what stood there before Nivel wrote what somebody else had said.
CREATE TABLE parted (
    record INTEGER PRIMARY KEY
) STRICT;
